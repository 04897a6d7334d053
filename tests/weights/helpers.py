"""What several tests of the weights need."""

from fastconv.weights import SOURCES

#: What the publishers call their files.
MAT, H5, BIN = (SOURCES[name].filename for name in ("vgg19", "vgg19-keras", "vgg19-q8"))


def raiser(error):
    def raise_it(*_, **__):
        raise error

    return raise_it
