"""The command `fastconv study`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fastconv.cli import transfers
from fastconv.cli.errors import CommandError, Exit
from fastconv.cli.messages import say


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "study",
        help="the experiment this program grew out of, measured: steps, weights, learning rates",
        usage="fastconv study [CONTENT STYLE] [-o FOLDER] [option ...]",
        description="Repaint a photograph at 320x192 with a range of steps, weights and learning rates, print "
        "losses and gradients of each run, and draw a contact sheet and curves. docs/study.md explains them.",
    )
    parser.set_defaults(run=_run, extra="study")
    parser.add_argument("pictures", nargs="*", help="a photograph and a painting (default: those of style --demo)")
    parser.add_argument("-o", "--output", type=Path, default=Path("study"), metavar="FOLDER", help="(default: study)")
    transfers.add_overwrite(parser)
    transfers.add_weights_and_threads(parser)
    transfers.add_quiet(parser)


def _run(args: argparse.Namespace) -> Exit:
    from fastconv.style.demo.pictures import demo_pictures
    from fastconv.style.study.study import study

    if len(args.pictures) not in (0, 2):
        raise CommandError(Exit.USAGE, f"study: expected CONTENT STYLE or no pictures, got {' '.join(args.pictures)}")
    if args.threads is not None:
        transfers.limit_threads(args.threads)
    log = None if args.quiet else say
    with transfers.errors_with_codes(), transfers.image_warnings_in_a_line(log):
        content, style = args.pictures or demo_pictures()
        outputs = study(
            content,
            style,
            args.output,
            overwrite=args.overwrite,
            weights=args.weights,
            offline=args.offline,
            show=lambda line: print(line, flush=True),
            log=log,
            progress=sys.stderr if log else None,
        )
    print(outputs.sheet, outputs.curves, outputs.numbers, sep="\n")
    return Exit.DONE
