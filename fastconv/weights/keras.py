"""Keras's HDF5 files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

_GROUP = re.compile(r"block(\d)_conv(\d)$")


def read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the convolutions of a VGG-19 that Keras saved.

    Each layer is a group; the names of the arrays in it changed with Keras's versions, their ranks did not.
    Kernels lie as (row, column, in, out), and conv1_1 takes B, G, R.

    Returns
    -------
    dict of str to (weight, bias)
        Weights as (out, in, row, column) with the input channels of conv1_1 turned to R, G, B.
    """
    import h5py

    convolutions = {}
    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        for group_name, group in root.items():
            match = _GROUP.match(group_name)
            arrays = _arrays_by_rank(group)
            if match and {4, 1} <= arrays.keys():
                weight = arrays[4].transpose(3, 2, 0, 1)
                name = "conv{}_{}".format(*match.groups())
                convolutions[name] = (weight[:, ::-1] if name == "conv1_1" else weight, arrays[1])
    return convolutions


def _arrays_by_rank(group: Any) -> dict[int, np.ndarray]:
    import h5py

    arrays: dict[int, np.ndarray] = {}

    def collect(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[item.ndim] = item[()]

    group.visititems(collect)
    return arrays
