"""VGG-19's sixteen convolutions as arrays, whatever file they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import WrongFileError

FloatArray = npt.NDArray[np.float32]
Layers = dict[str, tuple[FloatArray, FloatArray]]


def _shapes() -> dict[str, tuple[int, int, int, int]]:
    shapes = {}
    channels = 3
    for block, (count, width) in enumerate(((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)), start=1):
        for number in range(1, count + 1):
            shapes[f"conv{block}_{number}"] = (width, channels, 3, 3)
            channels = width
    return shapes


#: Shape of each kernel as (out, in, row, column); Simonyan and Zisserman, arXiv:1409.1556, table 1, column E.
KERNEL_SHAPES = _shapes()


@dataclass(frozen=True)
class VGGWeights:
    """The convolutions of a VGG-19 trained on ImageNet, and where they came from.

    Attributes
    ----------
    layers : dict of str to (weight, bias)
        "conv1_1" to "conv5_4". Weights are float32, C-contiguous, (out, in, row, column), for
        cross-correlation; the input channels of conv1_1 are R, G, B. Biases are float32, (out,). The network
        expects pixels of 0 to 255 less the mean of each channel.
    source : str
        The registered name ("vgg19", ...), or the file's own name when it is none of the published files.
    sha256 : str
        Of the file that the numbers were read from in the first place.
    path : Path
        That file, or its converted copy.
    exact : bool
        Whether the kernels are the trained float32 numbers, not rounded to a table of 256.
    """

    layers: Layers
    source: str
    sha256: str
    path: Path
    exact: bool


def check_layers(layers: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path) -> Layers:
    """Return `layers` in the order of the network, as contiguous float32, or say what is wrong with them.

    Raises
    ------
    WrongFileError
        If a convolution is missing, has another shape than VGG-19's, or holds NaN or infinity.
    """
    missing = [name for name in KERNEL_SHAPES if name not in layers]
    if missing:
        raise WrongFileError(
            f"{path}: only part of VGG-19, or another network: {len(KERNEL_SHAPES) - len(missing)} of its "
            f"{len(KERNEL_SHAPES)} convolutions are there; missing: {', '.join(missing)}"
        )
    return {name: _checked(name, *layers[name], path) for name in KERNEL_SHAPES}


def _checked(name: str, weight: np.ndarray, bias: np.ndarray, path: Path) -> tuple[FloatArray, FloatArray]:
    expected = KERNEL_SHAPES[name]
    if weight.shape != expected or bias.shape != expected[:1]:
        raise WrongFileError(
            f"{path}: {name} has a kernel of shape {weight.shape} and a bias of shape {bias.shape}; "
            f"VGG-19 has {expected} and {expected[:1]}"
        )
    weight = np.ascontiguousarray(weight, dtype=np.float32)
    bias = np.ascontiguousarray(bias, dtype=np.float32)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise WrongFileError(f"{path}: {name} holds NaN or infinity")
    return weight, bias
