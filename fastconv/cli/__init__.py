"""The command `fastconv`: results go to standard output, everything said to people to standard error.

Each command is a module with a function `add`, which adds its parser, and one that runs it and returns an exit code.
The parser has `run`, that function, and `extra`, the extra of this package that the command needs, as defaults. What
only one command needs, its functions import, so that the others start fast.
"""

from fastconv.cli.command_line import main

__all__ = ["main"]
