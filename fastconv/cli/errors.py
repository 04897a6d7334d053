"""What goes wrong in a command: the exit codes, and what is said."""

from __future__ import annotations

import traceback
from enum import IntEnum

from fastconv.cli.messages import say


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


def explain(error: Exception, extra: str) -> Exit:
    """Say what went wrong, in a line where the user can mend it, and return the exit code.

    `extra` is the extra of this package that the command needs.
    """
    from fastconv.cli.extras import how_to_install
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
    if isinstance(error, ModuleNotFoundError) and (advice := how_to_install(error, extra)):
        say(advice)
        return Exit.USAGE
    traceback.print_exception(error)
    say("this is an error of the program itself; please report it with the lines above")
    return Exit.INTERNAL
