"""Compiled kernels on disk, so that a second process compiles nothing.

Numba's own cache keeps an index beside the code, and two processes that fill it at once can leave an index that names
the other's code. Here there is no index: every signature of a kernel has a file of its own, which says what it holds.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pickle
import platform
import stat
import threading
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from fastconv import files

from .target import target

_PACKAGE = Path(__file__).parents[1]
_SOURCES = ("jit/*.py", "kernels/*.py", "geometry.py", "sizes.py", "traces.py")  # what compiled code depends on
_SUFFIX = ".nbc"
# Options of Numba that differ between processes, terminals or machines with the same code.
_NOT_IN_CODE = {
    "CACHE_DIR",
    "COLOR_SCHEME",
    "GDB_BINARY",
    "NUMBA_DEFAULT_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RUNNING_UNDER_PROFILER",
    "THREADING_LAYER",
    "THREADING_LAYER_PRIORITY",
}


@functools.cache
def _build() -> str:
    """Return a hash of all that compiled code depends on."""
    digest = hashlib.sha256()
    sources = sorted(path for pattern in _SOURCES for path in _PACKAGE.glob(pattern))
    if not sources:
        raise FileNotFoundError(f"no source code in {_PACKAGE}: nothing would tell the code of two versions apart")
    for path in sources:
        digest.update(path.name.encode() + path.read_bytes())
    triple, cpu, features = target()
    facts = (
        numba.__version__,
        llvmlite.__version__,
        platform.python_version(),
        triple,
        cpu,
        sorted(features),
        _options(),
    )
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:20]


def _options() -> list[tuple[str, str]]:
    """Return Numba's options that are in force, wherever they were set: the environment, a file, or a program."""
    options = vars(numba.config).items()
    plain = (int, float, str, type(None))
    return sorted(
        (name, str(value))
        for name, value in options
        if name.isupper() and name not in _NOT_IN_CODE and isinstance(value, plain)
    )


@functools.cache
def cache_dir() -> Path | None:
    """Directory of this build's compiled kernels, or None if there is none that is safe and writable.

    The files hold machine code and pickles, so a directory that somebody else can write to is not used.
    """
    try:
        path = files.cache_dir() / "kernels" / _build()
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = path.stat()
        if not _is_ours(status) or (hasattr(os, "geteuid") and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
            return None
        probe = path / f".probe-{os.getpid()}-{threading.get_ident()}"
        probe.touch()
        probe.unlink()
        files.remove_remains(path)
    except OSError:
        return None
    return path


def _is_ours(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def cache_is_cold() -> bool:
    """Whether no compiled kernel is on disk, so that first calls will take seconds."""
    directory = cache_dir()
    return directory is None or not any(directory.glob(f"*{_SUFFIX}"))


class KernelCache(NullCache):
    """The compiled signatures of one kernel on disk, in the form that Numba asks its dispatchers' caches in.

    Nothing is read or hashed before the first compilation. A file that is truncated, foreign or in the wrong place is a
    miss, never an error: the kernel is compiled anew and the file replaced. If no file can be kept, the next process
    compiles again.

    Parameters
    ----------
    kernel : str
        Full name of the function, ``module.name``.
    """

    def __init__(self, kernel: str):
        self._kernel = kernel

    @property
    def cache_path(self) -> str | None:
        """The directory, as text."""
        directory = cache_dir()
        return None if directory is None else str(directory)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled signature, ready to be called, or None."""
        path = self._path(sig)
        if path is None:
            return None
        target_context.refresh()
        with contextlib.suppress(Exception):
            code = _payload(_read_ours(path), self._label(sig))
            return None if code is None else CompileResult._rebuild(target_context, *pickle.loads(code))
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a signature that was just compiled."""
        path = self._path(sig)
        if path is None or data.library.has_dynamic_globals or not all(code.can_cache for code in data.lifted):
            return
        entry = _entry(self._label(sig), dumps(data._reduce()))
        with contextlib.suppress(OSError), files.replacing(path) as file:
            file.write(entry)

    def _label(self, sig: Any) -> dict[str, str]:
        return {"kernel": self._kernel, "signature": str(sig)}

    def _path(self, sig: Any) -> Path | None:
        """Return where a signature lies, whichever process compiled it: the name is made of what it holds."""
        directory = cache_dir()
        if directory is None:
            return None
        which = hashlib.sha256(json.dumps(self._label(sig)).encode()).hexdigest()[:16]
        return directory / f"{self._kernel}-{which}{_SUFFIX}"


def _read_ours(path: Path) -> bytes:
    """Return what a file holds, or nothing if it is somebody else's.

    The directory was checked once; another may stand in its place by now.
    """
    with path.open("rb") as file:
        return file.read() if _is_ours(os.fstat(file.fileno())) else b""


def _entry(label: dict[str, str], code: bytes) -> bytes:
    """Return a file's content: a line that says what it holds, with a digest, and the code."""
    header = {**label, "sha256": hashlib.sha256(code).hexdigest()}
    return json.dumps(header).encode() + b"\n" + code


def _payload(content: bytes, label: dict[str, str]) -> bytes | None:
    """Return the code of a file's content, or None if it is not what `label` says, whole and unchanged."""
    header, _, code = content.partition(b"\n")
    expected = {**label, "sha256": hashlib.sha256(code).hexdigest()}
    return code if json.loads(header) == expected else None
