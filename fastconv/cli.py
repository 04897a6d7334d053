"""The command `fastconv`: results go to standard output, everything said to people to standard error.

Each subcommand is a function that adds its parser, with `run` and `extra` set as defaults, and a function
that runs it and returns an exit code. What only one of them needs, its function imports.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from fastconv import __version__

if TYPE_CHECKING:
    from fastconv.weights import Found

# Each extra holds those before it.
_EXTRAS = ("weights", "style", "demo")
_EXTRA_OF = {
    "scipy": "weights",
    "h5py": "weights",
    "pooch": "weights",
    "tqdm": "weights",
    "platformdirs": "weights",
    "PIL": "style",
    "imageio": "style",
    "tifffile": "style",
    "skimage": "demo",
}


class Exit(IntEnum):
    """What the exit code says."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    WEIGHTS = 3
    MEMORY = 4
    OUTPUT = 5
    INTERRUPTED = 130
    TERMINATED = 143


class CommandError(Exception):
    """Something that the user can mend, with the exit code that stands for it."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name) and return its exit code."""
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse's way out, after --help as after a mistake
        return int(stop.code or 0)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        say("interrupted")
        return Exit.INTERRUPTED
    except Exception as error:
        return _explain(error, args.extra)


def say(message: str) -> None:
    """Tell the user something that is not a result."""
    print(f"fastconv: {message}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastconv",
        description="Convolution on the CPU, and neural style transfer built on it.",
        epilog="Exit codes: 0 done; 1 internal error; 2 usage, unreadable input or a missing extra; "
        "3 weights missing or wrong; 4 does not fit in memory; 5 output cannot be written or exists; "
        "130 and 143 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_info(commands)
    _add_weights(commands)
    return parser


def _explain(error: Exception, extra: str) -> Exit:
    """Say what went wrong, in a line where the user can mend it, and return the exit code."""
    from fastconv.weights import WeightsError

    if isinstance(error, CommandError):
        say(str(error))
        return error.code
    if isinstance(error, WeightsError):
        say(str(error))
        return Exit.WEIGHTS
    if isinstance(error, MemoryError):
        say(f"out of memory: {error}")
        return Exit.MEMORY
    if isinstance(error, ModuleNotFoundError) and (advice := _missing_extra(error, extra)):
        say(advice)
        return Exit.USAGE
    traceback.print_exception(error)
    say("this is an error of the program itself; please report it with the lines above")
    return Exit.INTERNAL


def _missing_extra(error: ModuleNotFoundError, extra: str) -> str | None:
    """Return how to install what `error` misses, or None if no extra of this package brings it.

    `extra` is what the subcommand needs in any case, so that one installation is enough.
    """
    module = (error.name or "").partition(".")[0]
    if module not in _EXTRA_OF:
        return None
    needed = max(extra, _EXTRA_OF[module], key=_EXTRAS.index)
    return f"{module} is not installed; this command needs: pip install 'fastconv[{needed}]'"


def _add_info(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("info", help="versions, processor, threads, folders, weights found")
    parser.set_defaults(run=_info, extra="weights")


def _info(args: argparse.Namespace) -> Exit:
    from fastconv.kernels import jit

    facts = {"fastconv": __version__, **_versions(), **jit.describe()}
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name:{width}}{value}")
    for line in _weights_found(args.extra):
        print(f"{'weights':{width}}{line}")
    return Exit.DONE


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": f"{platform.python_version()} ({platform.platform()})"}
    for name in ("numpy", "numba", "llvmlite", "tbb"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _weights_found(extra: str) -> list[str]:
    from fastconv.weights import find

    try:
        return [_describe(found) for found in find()] or ["none found; a first use downloads them"]
    except ModuleNotFoundError as error:
        return [_missing_extra(error, extra) or str(error)]


def _describe(found: Found) -> str:
    return f"{found.source.name}: {found.path} ({found.place})"


def _add_weights(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("weights", help="list, fetch, convert and check the pretrained network")
    parser.set_defaults(extra="weights")
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="the published files, and those found on this machine")
    listing.set_defaults(run=_weights_list)

    fetch = actions.add_parser("fetch", help="find or download one, and print the path of the file")
    fetch.add_argument("name", nargs="?", help="vgg19-q8 (the default), vgg19 or vgg19-keras")
    fetch.set_defaults(run=_weights_fetch)

    convert = actions.add_parser(
        "convert", help="read a file and keep its convolutions; prints the new file's path"
    )
    convert.add_argument("path", type=Path, help="a .mat, .h5, .bin, .whl or .npz file")
    convert.add_argument(
        "-o", "--output", type=Path, help="file or folder to write to (default: the user's cache)"
    )
    convert.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    convert.set_defaults(run=_weights_convert)

    check = actions.add_parser("check", help="read files to the end and compare them with the published ones")
    check.add_argument("source", nargs="?", help="a path or a name (default: all that are found)")
    check.set_defaults(run=_weights_check)


def _weights_list(args: argparse.Namespace) -> Exit:
    from fastconv.weights import SOURCES, find

    for source in SOURCES.values():
        print(f"{source.name:12} {source.download_size / 1e6:6.1f} MB  {source.summary}")
        print(f"{'':12} {source.origin}")
    for found in find():
        print(f"found {_describe(found)}")
    return Exit.DONE


def _weights_fetch(args: argparse.Namespace) -> Exit:
    from fastconv.weights import DEFAULT, SOURCES, load

    name = args.name or DEFAULT
    if name not in SOURCES:
        raise CommandError(
            Exit.USAGE, f"weights fetch: no file called {name!r}; expected {', '.join(SOURCES)}"
        )
    print(load(name, log=say).path)
    return Exit.DONE


def _weights_convert(args: argparse.Namespace) -> Exit:
    from fastconv.weights import convert

    if args.output and args.output.is_file() and not args.overwrite:
        raise CommandError(Exit.OUTPUT, f"--output: {args.output} exists; --overwrite replaces it")
    try:
        print(convert(args.path, args.output, log=say))
    except OSError as error:
        raise CommandError(Exit.OUTPUT, f"the converted file cannot be written: {error}") from error
    return Exit.DONE


def _weights_check(args: argparse.Namespace) -> Exit:
    from fastconv.weights import SOURCES, MissingWeightsError, WeightsError, find, load_file

    named = args.source is None or args.source in SOURCES
    names = SOURCES if args.source is None else [args.source]
    paths = [found.path for found in find(names)] if named else [Path(args.source)]
    if not paths:
        raise MissingWeightsError(f"weights check: no file found for {' or '.join(names)}")
    result = Exit.DONE
    for path in paths:
        try:
            weights = load_file(path, log=say)
        except WeightsError as error:
            print(f"wrong  {error}")
            result = Exit.WEIGHTS
        else:
            kernels = "exact kernels" if weights.exact else "kernels rounded to 256 values a layer"
            print(f"ok     {path}: {weights.source}, {kernels}, SHA256 {weights.sha256}")
    return result
