"""What can go wrong with a weight file."""


class WeightsError(Exception):
    """Pretrained weights could not be had; the message says what to do about it."""


class MissingWeightsError(WeightsError):
    """No weights were found where they were looked for, or they could not be fetched."""


class WrongFileError(WeightsError):
    """A file was found, but it does not hold a whole VGG-19."""
