"""What can go wrong with a weight file."""


class WeightsError(Exception):
    """Pretrained weights could not be had; the message says what to do about it."""


class MissingWeightsError(WeightsError):
    """No weights were found where they were looked for, or they could not be fetched."""


class WrongFileError(WeightsError):
    """A file was found, but it does not hold a whole VGG-19."""


class UnreadableFileError(WrongFileError):
    """A file could not be read, or only by another version of this program: it may well be right."""
