"""The command `fastconv style` itself: what it is asked for, and who does it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastconv.cli import transfers
from fastconv.cli.errors import Exit
from fastconv.cli.messages import say
from fastconv.cli.style.arguments import add_arguments
from fastconv.cli.style.defaults import HelpWithDefaults

if TYPE_CHECKING:
    from fastconv.cli.style.inputs import Inputs


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "style",
        help="repaint a photograph in the manner of a painting",
        usage="fastconv style CONTENT STYLE [STYLE ...] -o OUT [option ...]\n"
        "       fastconv style --demo [option ...]\n"
        "       fastconv style --resume FILE [-o OUT] [--steps N] [--save-every N] [--quiet]",
        description="Repaint a photograph in the manner of paintings, and print the path of the result. "
        "Ctrl-C saves what there is; a second one quits at once.",
        formatter_class=HelpWithDefaults,
        argument_default=argparse.SUPPRESS,  # what is not given is left to the signature of `stylize`
        allow_abbrev=False,
    )
    parser.set_defaults(run=_run, extra="style")
    add_arguments(parser)


def _run(args: argparse.Namespace) -> int:
    if "list_layers" in args:
        return _list_layers()
    log = None if "quiet" in args else say
    telling = {"log": log, "progress": sys.stderr if log else None, "callback": args.callback}
    with transfers.errors_with_codes(), transfers.image_warnings_in_a_line(log):
        return _resume(args, telling) if "resume" in args else _start(args, telling)


def _list_layers() -> Exit:
    from fastconv.style.algorithm.options import LAYER_NAMES

    print(*LAYER_NAMES, sep="\n")
    return Exit.DONE


def _resume(args: argparse.Namespace, telling: dict[str, Any]) -> int:
    from fastconv.cli.style.resuming import changes
    from fastconv.style.running.run import resume

    outcome = resume(args.resume, **changes(args), **telling)
    print(outcome)
    return _code(outcome.interrupted_by)


def _start(args: argparse.Namespace, telling: dict[str, Any]) -> int:
    from fastconv.cli.style.inputs import inputs_of
    from fastconv.style.files import is_folder
    from fastconv.style.running.run import run

    inputs = inputs_of(args)
    if "threads" in args:
        transfers.limit_threads(args.threads)
    if isinstance(inputs.content, str) and is_folder(Path(inputs.content)):
        return _start_folder(Path(inputs.content), inputs, telling)
    outcome = run(inputs.content, inputs.styles, inputs.outputs, **telling, **inputs.options)
    print(outcome)
    return _code(outcome.interrupted_by)


def _start_folder(folder: Path, inputs: Inputs, telling: dict[str, Any]) -> int:
    from fastconv.style.running.batch import run_folder

    batch = run_folder(
        folder,
        inputs.styles,
        inputs.outputs,
        show=lambda outcome: print(outcome, flush=True),
        **telling,
        **inputs.options,
    )
    for path, reason in batch.failures.items():
        say(f"failed: {path}: {reason}")
    return _code(batch.interrupted_by) or (Exit.USAGE if batch.failures else Exit.DONE)


def _code(interrupted_by: int | None) -> int:
    """Return the exit code of a command that a signal has ended early, or nothing has."""
    return Exit.DONE if interrupted_by is None else 128 + interrupted_by
