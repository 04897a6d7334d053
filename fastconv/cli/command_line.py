"""A command line from start to end: parsed, run, and answered with an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fastconv import __version__
from fastconv.cli import completion, info, study, weights
from fastconv.cli.errors import Exit, explain
from fastconv.cli.messages import say
from fastconv.cli.style import command as style

if TYPE_CHECKING:
    from fastconv.style import Step


def main(argv: Sequence[str] | None = None, *, callback: Callable[[Step], None] | None = None) -> int:
    """Run the command line `argv` (without the program's name) and return its exit code.

    Programs that watch a transfer give a `callback`, see `fastconv.style.running.run.run`.
    """
    try:
        args = make_parser().parse_args(argv)
    except SystemExit as stop:  # argparse's way out, after --help as after a mistake
        return int(stop.code or 0)
    args.callback = callback
    try:
        code = int(args.run(args))
        if sys.stdout is not None:  # as it is where the caller has closed it
            sys.stdout.flush()  # here, where a failure can still be handled
        return code
    except KeyboardInterrupt:
        say("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the results, such as head, has had enough. Python would try once more to write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OUTPUT
    except Exception as error:  # whatever it is, the caller gets an exit code for it
        return explain(error, args.extra)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="fastconv",
        description="Convolution on the CPU, and neural style transfer built on it.",
        epilog="Exit codes: 0 done; 1 internal error; 2 usage, unreadable input or a missing extra; "
        "3 weights missing or wrong; 4 does not fit in memory; 5 output cannot be written or exists; "
        "130 and 143 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    info.add(commands)
    weights.add(commands)
    style.add(commands)
    study.add(commands)
    completion.add(commands, parser)
    return parser
