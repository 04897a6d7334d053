"""The command `fastconv info`."""

from __future__ import annotations

import argparse

from fastconv import __version__
from fastconv.cli.errors import Exit
from fastconv.cli.messages import say


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("info", help="versions, processor, threads, folders, weights found")
    parser.set_defaults(run=_run, extra="weights")


def _run(args: argparse.Namespace) -> Exit:
    from fastconv import jit
    from fastconv.weights import find

    facts = {"fastconv": __version__, **_versions(), **jit.describe()}
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name:{width}}{value}")
    for line in list(map(str, find(log=say))) or ["none found; a first use downloads them"]:
        print(f"{'weights':{width}}{line}")
    return Exit.DONE


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    # Not platform.platform(), which runs `uname` from wherever PATH leads, be it the current folder.
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    versions = {"python": f"{platform.python_version()} ({system})"}
    for name in ("numpy", "numba", "llvmlite", "tbb"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
