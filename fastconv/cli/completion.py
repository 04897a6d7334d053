"""The command `fastconv completion`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fastconv.cli.errors import Exit

_FILES = ("pictures", "init", "masks", "weights", "source")  # arguments that may be files, though they are no paths


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], program: argparse.ArgumentParser) -> None:
    """Add the command, which completes what the parser `program` knows."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes this command in a shell",
        description='Print a script that completes this command. For bash: eval "$(fastconv completion bash)"',
    )
    parser.set_defaults(run=partial(_run, program), extra="style")
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def _run(program: argparse.ArgumentParser, args: argparse.Namespace) -> Exit:
    import shtab

    for action in _all_actions(program):
        if action.type is Path or action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(program, args.shell))
    return Exit.DONE


def _all_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _all_actions(subparser)
