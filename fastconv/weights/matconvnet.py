"""MatConvNet's `.mat` files, both generations of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .errors import WrongFileError
from .model import KERNEL_SHAPES

#: Mean of the training images' R, G and B, 0 to 255 (Simonyan and Zisserman's model description).
MEAN = (123.68, 116.779, 103.939)


def read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the convolutions of a MatConvNet network.

    The file is a cell array `layers` of structures, whose fields stand in another order in each generation
    and so are read by name. Kernels lie as (row, column, in, out), are meant for cross-correlation, and
    conv1_1 takes R, G, B.

    Returns
    -------
    dict of str to (weight, bias)
        Weights as (out, in, row, column), for those of VGG-19's convolutions that the file holds.

    Raises
    ------
    WrongFileError
        If there are no layers, or the mean image is not that of R, G, B in this order.
    """
    from scipy.io import loadmat

    content = loadmat(path, variable_names=["layers", "meta", "normalization"])
    if "layers" not in content:
        raise WrongFileError(f"{path}: a MATLAB file without 'layers', so not a MatConvNet network")
    _check_mean(_mean(content, path), path)
    convolutions = {}
    for cell in content["layers"].flat:
        name = str(_field(cell, "name", path).item())
        if name in KERNEL_SHAPES:
            kernel, bias = _field(cell, "weights", path).flat
            convolutions[name] = (kernel.transpose(3, 2, 0, 1), bias.ravel())
    return convolutions


def _field(structure: Any, name: str, path: Path) -> Any:
    """Return a field of a 1x1 MATLAB structure."""
    names = structure.dtype.names or ()
    if name not in names:
        raise WrongFileError(f"{path}: a structure without field '{name}'; it has {', '.join(names) or 'none'}")
    return structure[name].item()


def _mean(content: dict[str, Any], path: Path) -> np.ndarray:
    """Return the mean of R, G, B; the older generation keeps it as an image of the network's input size."""
    owner = _field(content["meta"], "normalization", path) if "meta" in content else content.get("normalization")
    if owner is None:
        raise WrongFileError(f"{path}: neither 'meta' nor 'normalization' is there to tell the order of channels")
    image = np.asarray(_field(owner, "averageImage", path), dtype=np.float64)
    return image.reshape(-1, 3).mean(axis=0)


def _check_mean(mean: np.ndarray, path: Path) -> None:
    if not np.allclose(mean, MEAN, atol=0.1):
        raise WrongFileError(f"{path}: the mean of R, G, B is {mean.round(3).tolist()}; VGG-19's is {list(MEAN)}")
