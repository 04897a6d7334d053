"""The command `fastconv weights`, with its actions."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastconv.cli.errors import CommandError, Exit
from fastconv.cli.messages import say


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("weights", help="list, fetch, convert and check the pretrained network")
    parser.set_defaults(extra="weights")
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="the published files, and those found on this machine")
    listing.set_defaults(run=_list)

    fetch = actions.add_parser("fetch", help="find or download one, and print the path of the file")
    fetch.add_argument("name", nargs="?", help="vgg19-q8 (the default), vgg19 or vgg19-keras")
    fetch.set_defaults(run=_fetch)

    convert = actions.add_parser("convert", help="read a file and keep its convolutions; prints the new file's path")
    convert.add_argument("path", type=Path, help="a .mat, .h5, .bin, .whl or .npz file")
    convert.add_argument("-o", "--output", type=Path, help="file or folder to write to (default: the user's cache)")
    convert.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    convert.set_defaults(run=_convert)

    check = actions.add_parser("check", help="read files to the end and compare them with the published ones")
    check.add_argument("source", nargs="?", help="a path or a name (default: all that are found)")
    check.set_defaults(run=_check)


def _list(args: argparse.Namespace) -> Exit:
    from fastconv.weights import SOURCES, find

    for source in SOURCES.values():
        print(f"{source.name:12} {source.download_size / 1e6:6.1f} MB  {source.summary}")
        print(f"{'':12} {source.origin}")
    for found in find(log=say):
        print(f"found {found}")
    return Exit.DONE


def _fetch(args: argparse.Namespace) -> Exit:
    from fastconv.weights import DEFAULT, SOURCES, load

    name = args.name or DEFAULT
    if name not in SOURCES:
        raise CommandError(Exit.USAGE, f"weights fetch: no file called {name!r}; expected {', '.join(SOURCES)}")
    print(load(name, log=say).path)
    return Exit.DONE


def _convert(args: argparse.Namespace) -> Exit:
    from fastconv.weights import convert

    if args.output and args.output.is_file() and not args.overwrite:
        raise CommandError(Exit.OUTPUT, f"--output: {args.output} exists; --overwrite replaces it")
    try:
        print(convert(args.path, args.output, log=say))
    except OSError as error:
        raise CommandError(Exit.OUTPUT, f"the converted file cannot be written: {error}") from error
    return Exit.DONE


def _check(args: argparse.Namespace) -> Exit:
    results = [_check_file(path) for path in _files_to_check(args.source)]
    return max(results)  # Exit.WEIGHTS if one of them is wrong


def _files_to_check(source: str | None) -> list[Path]:
    from fastconv.weights import SOURCES, MissingWeightsError, find

    if source is not None and source not in SOURCES:
        return [Path(source)]
    names = SOURCES if source is None else [source]
    paths = [found.path for found in find(names, log=say)]
    if not paths:
        raise MissingWeightsError(f"weights check: no file found for {' or '.join(names)}")
    return paths


def _check_file(path: Path) -> Exit:
    from fastconv.weights import WeightsError, load_file

    try:
        weights = load_file(path, log=say)
    except WeightsError as error:
        print(f"wrong  {error}")
        return Exit.WEIGHTS
    kernels = "exact kernels" if weights.exact else "kernels rounded to 256 values a layer"
    print(f"ok     {path}: {weights.source}, {kernels}, SHA256 {weights.sha256}")
    return Exit.DONE
