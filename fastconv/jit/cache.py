"""Compiled kernels on disk, so that a second process compiles nothing.

Numba's own cache keeps an index beside the code, and two processes that fill it at once can leave an index that names
the other's code. Here every signature of a kernel has a file of its own, which says what it holds: there is nothing to
be of two minds about.
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
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from fastconv import files

from .target import target

_PACKAGE = Path(__file__).parents[1]
_SOURCES = ("jit", "kernels")  # the folders that compiled code depends on
_SUFFIX = ".nbc"
_NOT_IN_CODE = {
    "NUMBA_CACHE_DIR",
    "NUMBA_NUM_THREADS",
    "NUMBA_THREADING_LAYER",
    "NUMBA_THREADING_LAYER_PRIORITY",
}


@functools.cache
def _build() -> str:
    """Return a hash of all that compiled code depends on."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in _SOURCES for path in (_PACKAGE / folder).glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    triple, cpu, features = target()
    switches = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in _NOT_IN_CODE)
    facts = (
        numba.__version__,
        llvmlite.__version__,
        platform.python_version(),
        triple,
        cpu,
        sorted(features),
        switches,
    )
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:20]


@functools.cache
def cache_dir() -> Path | None:
    """Directory of this build's compiled kernels, or None if there is none that is safe and writable.

    The files hold machine code and pickles, so a directory that somebody else can write to is not used.
    """
    try:
        path = files.cache_dir() / "kernels" / _build()
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = path.stat()
        if hasattr(os, "geteuid"):
            others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if status.st_uid != os.geteuid() or others_write:
                return None
        probe = path / f".probe-{os.getpid()}-{threading.get_ident()}"
        probe.touch()
        probe.unlink()
    except (OSError, RuntimeError):  # the second where the user has no home
        return None
    return path


def cache_is_cold() -> bool:
    """Whether no compiled kernel is on disk, so that first calls will take seconds."""
    directory = cache_dir()
    return directory is None or not any(directory.glob(f"*{_SUFFIX}"))


class KernelCache(NullCache):
    """The compiled signatures of one kernel on disk, in the form that Numba asks its dispatchers' caches in.

    Nothing is read or hashed before the first compilation. What is truncated, foreign or in the wrong place is a miss,
    never an error: the kernel is compiled anew and the file replaced. Where no file can be kept, the next process
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
            code = _payload(path.read_bytes(), self._label(sig))
            return None if code is None else CompileResult._rebuild(target_context, *pickle.loads(code))
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a signature that was just compiled."""
        path = self._path(sig)
        if path is None or not CompileResultCacheImpl.check_cachable(self, data):
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


def _entry(label: dict[str, str], code: bytes) -> bytes:
    """Return a file's content: a line that says what it holds, with a digest, and the code."""
    header = {**label, "sha256": hashlib.sha256(code).hexdigest()}
    return json.dumps(header).encode() + b"\n" + code


def _payload(content: bytes, label: dict[str, str]) -> bytes | None:
    """Return the code of a file's content, or None if it is not what `label` says, whole and unchanged."""
    header, _, code = content.partition(b"\n")
    expected = {**label, "sha256": hashlib.sha256(code).hexdigest()}
    return code if json.loads(header) == expected else None
