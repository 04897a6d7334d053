"""How every kernel is compiled, cached and run on threads: the one place for these policies.

Kernels come in pairs. A *share* is serial code ``share(t, threads, zero, job)`` that does part `t` of `threads` parts
of the work; its twin runs all parts in a ``prange``. Both get `job`, the address of a record that holds every address
and size they need, and `zero`, a scalar of the element type: so each kernel is compiled once for a dtype, whatever the
arrays look like. :func:`run` decides which twin is called.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.metadata
import os
import platform
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache, NullCache, _CacheLocator
from numba.core.registry import cpu_target
from numba.np.ufunc import parallel as numba_parallel

from fastconv import files

# No fast-math. Kernels say themselves where they fuse and in which order they add. What LLVM may reorder it reorders in
# one way in a kernel that runs at once and in another in the copy that is cached, and results differed between the two.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}


# --- the machine the code is compiled for ---------------------------------------------------------------------------


@functools.cache
def target() -> tuple[str, str, frozenset[str]]:
    """LLVM's triple, CPU name and enabled features of Numba's target (which need not be the host's)."""
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return triple, cpu, frozenset(name[1:] for name in features.split(",") if name.startswith("+"))


@functools.cache
def vector_bytes() -> int:
    """Width of the vectors that kernels use, in bytes: 64 with AVX-512, 32 with AVX2, else 16."""
    features = target()[2]
    if "avx512f" in features:
        return 64
    return 32 if "avx2" in features else 16


@functools.cache
def has_fma() -> bool:
    """Whether a fused multiply-add is an instruction (else LLVM would call a slow library function for it)."""
    triple, _, features = target()
    return "fma" in features or triple.startswith(("aarch64", "arm64"))


def lanes(dtype: np.dtype) -> int:
    """Elements of `dtype` in one vector."""
    return vector_bytes() // dtype.itemsize


# --- compiled code on disk ------------------------------------------------------------------------------------------


def user_cache_dir() -> Path:
    """Return the user's cache directory for this package: ``$FASTCONV_CACHE_DIR``, or the platform's custom."""
    return files.cache_dir()


@functools.cache
def _cache_key() -> str:
    """Hash of all that compiled code depends on; Numba itself would notice only the file a kernel stands in."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
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


_NOT_IN_CODE = {
    "NUMBA_CACHE_DIR",
    "NUMBA_NUM_THREADS",
    "NUMBA_THREADING_LAYER",
    "NUMBA_THREADING_LAYER_PRIORITY",
}


@functools.cache
def cache_dir() -> Path | None:
    """Directory of this build's compiled kernels, or None if there is none that is safe and writable.

    Numba's index files are pickles, so a directory that somebody else can write to is not used.
    """
    path = user_cache_dir() / "kernels" / _cache_key()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = path.stat()
        if hasattr(os, "geteuid"):
            others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if status.st_uid != os.geteuid() or others_write:
                return None
        probe = path / f".probe-{os.getpid()}-{threading.get_ident()}"
        probe.touch()
        probe.unlink()
    except OSError:
        return None
    return path


def cache_is_cold() -> bool:
    """Whether no compiled kernel is on disk, so that first calls will take seconds."""
    directory = cache_dir()
    return directory is None or not any(directory.glob("*.nbc"))


class _Locator(_CacheLocator):
    """Points Numba at :func:`cache_dir`; freshness is in the directory's name."""

    def __init__(self, name: str, directory: Path):
        self._name = name
        self._directory = directory

    def get_cache_path(self) -> str:
        return str(self._directory)

    def get_source_stamp(self) -> str:
        return "in the directory's name"

    def get_disambiguator(self) -> str:
        return self._name

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Locator | None:
        directory = cache_dir()
        return None if directory is None else cls(Path(py_file).stem, directory)


class _CacheContents(FunctionCache._impl_class):
    _locator_classes = (_Locator,)


class _KernelCache(FunctionCache):
    _impl_class = _CacheContents

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # A truncated or foreign file is a miss, never an error: the kernel is compiled anew and the file replaced.
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            with contextlib.suppress(OSError):
                self.flush()  # saving reads the index, so a bad one must go first
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # read-only or full disk: go on without
            super().save_overload(sig, data)


class _LazyCache(NullCache):
    """Stands in for :class:`_KernelCache` until the first compilation, so that importing reads and hashes nothing."""

    def __init__(self, dispatcher: Any):
        self._dispatcher = dispatcher

    def _real(self) -> Any:
        known = cache_dir() is not None
        self._dispatcher._cache = _KernelCache(self._dispatcher.py_func) if known else NullCache()
        return self._dispatcher._cache

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        return self._real().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        self._real().save_overload(sig, data)


# --- decorators -----------------------------------------------------------------------------------------------------


def _cached(dispatcher: Any) -> Any:
    if not numba.config.DISABLE_JIT:
        dispatcher._cache = _LazyCache(dispatcher)
    return dispatcher


def inline(function: Callable[..., Any]) -> Any:
    """Compile a helper of kernels; it is part of its caller's cache entry."""
    return numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)


def unfold(function: Callable[..., Any]) -> Any:
    """Compile a helper that becomes part of each caller's code, where its constant arguments are worked out."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


def share(function: Callable[..., Any]) -> Any:
    """Compile ``share(t, threads, zero, job)``, one thread's part of a kernel."""
    return _cached(numba.njit(**OPTIONS)(function))


def parallel(function: Callable[..., Any]) -> Any:
    """Compile ``kernel(threads, zero, job)``, which runs all shares in a ``prange``."""
    return _cached(numba.njit(parallel=True, **OPTIONS)(function))


def record_type(fields: Any) -> np.dtype:
    """Structured dtype of a NamedTuple of integers, as compiled code sees the record that `job` is the address of."""
    return np.dtype([(name, np.intp) for name in fields._fields])


def record_of(fields: tuple) -> np.ndarray:
    """Return the memory of such a record."""
    return np.array(fields, np.intp)


def address_of(array: np.ndarray) -> int:
    """Return the address of an array's first element, several times faster than ``array.ctypes.data``.

    It is the first field of NumPy's array object, after the header of every Python object: part of the binary
    interface that all extension modules are compiled against.
    """
    return _pointer_at(id(array) + object.__basicsize__).value or 0


_pointer_at = ctypes.c_void_p.from_address


# --- threads --------------------------------------------------------------------------------------------------------

_num_threads = int(numba.config.NUMBA_NUM_THREADS)


def get_num_threads() -> int:
    """Return the number of threads that kernels use, for the whole process."""
    return _num_threads


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels use, for the whole process.

    Parameters
    ----------
    n : int
        From 1 to ``numba.config.NUMBA_NUM_THREADS``: the number of cores, unless the environment says otherwise.

    Raises
    ------
    TypeError
        If `n` is no integer.
    ValueError
        If `n` is out of range.
    """
    global _num_threads
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"n must be an int, got {type(n).__name__}")
    most = int(numba.config.NUMBA_NUM_THREADS)
    if not 1 <= n <= most:
        raise ValueError(f"n must be from 1 to {most} (NUMBA_NUM_THREADS), got {n}")
    _num_threads = int(n)


def _preload_tbb() -> None:
    """Load the tbb wheel's library where Numba's threading layer will look for it.

    In a virtual environment the wheel puts it outside the loader's path. A user who chose a layer is left alone.
    """
    if os.environ.get("NUMBA_THREADING_LAYER"):
        return
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, OSError):
        for file in importlib.metadata.files("tbb") or ():
            if file.name == "libtbb.so.12":
                ctypes.CDLL(str(Path(str(file.locate())).resolve()), mode=ctypes.RTLD_GLOBAL)


class RenewedLock:
    """A lock that is free in a forked child, although another thread of the parent may have held it.

    Attributes
    ----------
    lock : threading.Lock
        To be asked for anew each time.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()


class _Regions:
    """Parallel regions under way in this process: forks wait for their end, and nobody enters while one waits.

    A child inherits one thread, and whatever lock of the layer the others held, for ever. TBB's workers are
    joined before a fork if they are idle and the thread that started them forks; GNU OpenMP ends a child of a
    process that has used it.
    """

    def __init__(self) -> None:
        self.serial = False  # whether this is a child that cannot use the layer that it inherited
        self._changed = threading.Condition()
        self._under_way = 0
        self._forks = 0
        self._launcher: int | None = None

    def begin(self, layer: str) -> None:
        """Begin a region, of which all layers but TBB take only one at a time (workqueue ends the process on two)."""
        with self._changed:
            while self._forks or (self._under_way and layer != "tbb"):
                self._changed.wait()
            self._under_way += 1

    def end(self) -> None:
        """End a region."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def launch(self) -> str:
        """Start Numba's threading layer, and return its name."""
        with self._changed:
            if self._launcher is None:
                self._launcher = threading.get_ident()
                _preload_tbb()
                numba_parallel._launch_threads()
        return numba.threading_layer()

    def before_fork(self) -> None:
        self._changed.acquire()
        self._forks += 1
        self._changed.wait_for(lambda: not self._under_way)

    def after_fork_in_parent(self) -> None:
        self._forks -= 1
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        launched = self._launcher is not None
        joined = launched and numba.threading_layer() != "omp" and self._launcher == threading.get_ident()
        self._changed = threading.Condition()
        self._forks = 0
        self.serial = launched and (self.serial or not joined)


_regions = _Regions()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_regions.before_fork,
        after_in_parent=_regions.after_fork_in_parent,
        after_in_child=_regions.after_fork_in_child,
    )


@functools.cache
def threading_layer() -> str:
    """Start Numba's threading layer if need be, and return its name: "tbb", "omp" or "workqueue"."""
    return _regions.launch()


def _mask_threads(threads: int) -> int:
    """Let the calling Python thread use `threads` of Numba's workers; return how many it used before.

    Numba's own setting is per thread. Its function that tells it takes two locks first, which is most of its time.
    """
    before = int(numba_parallel._get_num_threads())
    if before != threads:
        numba.set_num_threads(threads)
    return before


def run(share: Any, parallel: Any, zero: np.generic, job: np.ndarray, threads: int) -> None:
    """Run a kernel's `threads` shares, in parallel where that is safe.

    Parameters
    ----------
    share, parallel : dispatcher
        The serial and the parallel twin.
    zero : numpy.float32 or numpy.float64
        Zero of the element type.
    job : array of :func:`record_of`
        Addresses and sizes; the caller keeps alive all that it points to.
    threads : int
        How many parts the work has.
    """
    address = address_of(job)
    if threads == 1:
        share(0, 1, zero, address)
        return
    layer = threading_layer()
    if _regions.serial:
        for t in range(threads):
            share(t, threads, zero, address)
        return
    # No context managers of generators here: they took longer than starting the threads.
    _regions.begin(layer)
    try:
        before = _mask_threads(threads)
        try:
            parallel(threads, zero, address)
        finally:
            _mask_threads(before)
    finally:
        _regions.end()


def describe() -> dict[str, str]:
    """Facts about the kernels' build, for ``fastconv info``."""
    triple, cpu, _ = target()
    bits = 8 * vector_bytes()
    directory = cache_dir()
    return {
        "target": f"{cpu} ({triple})",
        "lanes": f"{lanes(np.dtype(np.float32))} float32, {lanes(np.dtype(np.float64))} float64 ({bits}-bit vectors)",
        "threads": f"{get_num_threads()} of {numba.config.NUMBA_NUM_THREADS}",
        "threading layer": threading_layer(),
        "kernel cache": "none (no safe, writable directory)" if directory is None else str(directory),
    }
