"""A fingerprint of every result, which shows that a change of structure changes no bit.

``python -m benchmarks.fingerprint`` computes a fixed set of cases with all public functions and prints a line for each:
the first digits of the SHA-256 of its results, its name, dtype and threads. The last line says how many compiled
kernels there are and how many have run. Unless all have, the exit status is 1.

To compare two checkouts, with the same versions of NumPy and Numba on one machine:

    python -m benchmarks.fingerprint --json before.json      # in the one
    python -m benchmarks.fingerprint --compare before.json   # in the other

Nothing but public names is used, beside the tables of algorithms and of losses, which say what there is; so one
version of this command serves both.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher
from threadpoolctl import threadpool_limits

import fastconv

from .fingerprint_cases import Compute, Inputs, cases

DTYPES = ("float32", "float64")
DIGITS = 16


# --- results --------------------------------------------------------------------------------------------------------


def digest(results: Iterable[Any]) -> str:
    """Return the first digits of the hash of arrays and numbers: of their dtypes, shapes and bytes."""
    total = hashlib.sha256()
    for result in results:
        array = np.ascontiguousarray(result)
        total.update(f"{array.dtype.str} {np.shape(result)}".encode())
        total.update(array.tobytes())
    return total.hexdigest()[:DIGITS]


def fingerprints(chosen: Mapping[str, Compute], threads: Iterable[int]) -> Iterator[tuple[str, str]]:
    """Compute cases, and yield what each is called and its digest."""
    for count in threads:
        fastconv.set_num_threads(count)
        for (name, compute), dtype in ((case, dtype) for case in chosen.items() for dtype in DTYPES):
            yield f"{name}, {dtype}, threads {count}", digest(compute(Inputs(dtype)))


def read(path: Path, threads: Iterable[int]) -> dict[str, str]:
    """Return the fingerprints in a file, those for some numbers of threads."""
    endings = tuple(f", threads {count}" for count in threads)
    return {name: value for name, value in json.loads(path.read_text()).items() if name.endswith(endings)}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each case whose digest is another one, or that is on one side only."""
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"only in the file: {name}"
        elif name not in before:
            yield f"only here: {name}"
        elif before[name] != now[name]:
            yield f"differs: {name}"


# --- kernels --------------------------------------------------------------------------------------------------------


def kernels(modules: Iterable[Any]) -> dict[str, Any]:
    """Return the compiled functions of modules that are cached on disk, by the place where they were found.

    Helpers, which are compiled into their callers, have no cache of their own.
    """
    found: dict[int, tuple[str, Any]] = {}
    for module in modules:
        for name, value in _reachable(module):
            if isinstance(value, Dispatcher) and _is_cached(value):
                found.setdefault(id(value), (name, value))
    return dict(found.values())


def _is_cached(dispatcher: Any) -> bool:
    return type(dispatcher._cache) is not NullCache


def _reachable(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield a module's globals, and the attributes and items of those that the package defines, with their names."""
    for name, value in vars(module).items():
        yield f"{module.__name__}.{name}", value
        for inner, part in _contents(value):
            yield f"{module.__name__}.{name}.{inner}", part


def _contents(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (tuple, list)):
        return enumerate(value)
    if not str(getattr(value, "__module__", "")).startswith(fastconv.__name__):
        return ()
    slots = [name for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)]
    return [*getattr(value, "__dict__", {}).items(), *((name, getattr(value, name)) for name in slots)]


def package_modules() -> list[Any]:
    """Import all modules of the package."""
    names = (module.name for module in pkgutil.walk_packages(fastconv.__path__, f"{fastconv.__name__}."))
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def uncalled(found: Mapping[str, Any], dtype: str) -> list[str]:
    """Return the names of kernels that did not run for a dtype.

    A kernel has run if it was compiled, or read from the cache, for that dtype, or is part of another that was.
    """
    running = {name for name, kernel in found.items() if any(dtype in str(types) for types in kernel.signatures)}
    parts = {id(part) for name in running for part in _parts(found[name])}
    return sorted(name for name, kernel in found.items() if name not in running and id(kernel) not in parts)


def _parts(kernel: Any) -> list[Any]:
    """Return what a kernel's code refers to."""
    names = inspect.getclosurevars(kernel.py_func)
    return [*names.nonlocals.values(), *names.globals.values()]


# --- the command ----------------------------------------------------------------------------------------------------


def report_kernels(found: Mapping[str, Any]) -> bool:
    """Print how many kernels there are and how many have run; return whether all have."""
    missing = {dtype: uncalled(found, dtype) for dtype in DTYPES}
    called = ", ".join(f"{len(found) - len(names)} called in {dtype}" for dtype, names in missing.items())
    never = "; ".join(f"not in {dtype}: {', '.join(names)}" for dtype, names in missing.items() if names)
    print(f"{len(found)} kernels, {called}" + (f"; {never}" if never else ""))
    return bool(found) and not never


def report_differences(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Print what differs; return whether there are cases in `before` and all came out the same."""
    for line in differences(before, now):
        print(line)
    same = sum(now.get(name) == value for name, value in before.items())
    print(f"{same} of {len(before)} cases are the same")
    return bool(before) and same == len(before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.fingerprint", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="numbers of threads (default: 1 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the fingerprints to a file")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="say which cases differ from such a file")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute, print and compare; return 1 if a kernel did not run or a case differs."""
    options = _parser().parse_args(arguments)
    before = read(options.compare, options.threads) if options.compare else None
    now = {}
    with threadpool_limits(1, user_api="blas"):  # how BLAS shares out its sums is none of ours
        for name, value in fingerprints(cases(), options.threads):
            print(f"{value}  {name}", flush=True)
            now[name] = value
    if options.json:
        options.json.write_text(json.dumps(now, indent=0) + "\n")
    same = before is None or report_differences(before, now)
    return 0 if report_kernels(kernels(package_modules())) and same else 1


if __name__ == "__main__":
    sys.exit(main())
