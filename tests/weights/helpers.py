"""What several tests of the weights need."""

import numpy as np

from fastconv.weights import SOURCES, cache_dir

#: What the publishers call their files.
MAT, H5, BIN = (SOURCES[name].filename for name in ("vgg19", "vgg19-keras", "vgg19-q8"))


def raiser(error):
    def raise_it(*_, **__):
        raise error

    return raise_it


def cached():
    return sorted(path.name for path in cache_dir().iterdir()) if cache_dir().is_dir() else []


def deviation(weights, true_layers):
    """Return each kernel's distance from the trained one, relative to its norm, after a look at the biases."""
    for name, (_, bias) in true_layers.items():
        np.testing.assert_array_equal(weights.layers[name][1], bias)
    return {
        name: np.linalg.norm(weights.layers[name][0] - kernel) / np.linalg.norm(kernel)
        for name, (kernel, _) in true_layers.items()
    }
