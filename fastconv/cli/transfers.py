"""What all commands that run transfers share: some arguments, the threads, how errors and warnings are told."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from fastconv.cli.errors import CommandError, Exit
from fastconv.cli.messages import say
from fastconv.log import Log


def add_overwrite(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the argument that lets files be replaced."""
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def add_weights_and_threads(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the arguments that say with what a transfer is computed."""
    parser.add_argument("--weights", metavar="W", help="name or file of the weights, see: fastconv weights list")
    parser.add_argument("--offline", action="store_true", help="never download weights")
    parser.add_argument("--threads", type=int, metavar="N", help="(default: all)")


def add_quiet(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the argument that silences a command."""
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors and results")


def limit_threads(number: int) -> None:
    """Let kernels run on so many threads."""
    from fastconv import set_num_threads

    try:
        set_num_threads(number)
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"--threads: {error}") from error


@contextmanager
def errors_with_codes() -> Iterator[None]:
    """Give the errors of a transfer that the user can mend their exit codes."""
    from fastconv.style import ImageError, MemoryLimitError, OptionError, OutputError
    from fastconv.style.running.saved import CheckpointError

    try:
        yield
    except (OptionError, ImageError, CheckpointError) as error:
        raise CommandError(Exit.USAGE, str(error)) from error
    except MemoryLimitError as error:
        raise CommandError(Exit.MEMORY, str(error)) from error
    except OutputError as error:
        raise CommandError(Exit.OUTPUT, str(error)) from error
    except FloatingPointError as error:
        raise CommandError(Exit.INTERNAL, str(error)) from error


@contextmanager
def image_warnings_in_a_line(log: Log | None) -> Iterator[None]:
    """Say in a line what is ignored or dropped of a picture, if there is a `log`; other warnings stay as they are."""
    import warnings

    from fastconv.style.images import ImageWarning

    show_as_usual = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ImageWarning):
            say(str(message))
        else:
            show_as_usual(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always" if log else "ignore", ImageWarning)
        warnings.showwarning = show
        yield
