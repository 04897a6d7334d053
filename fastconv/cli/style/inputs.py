"""What a command asks to be made, of which pictures."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastconv.cli.errors import CommandError, Exit
from fastconv.cli.style.defaults import defaults
from fastconv.cli.style.given import given
from fastconv.style.algorithm.presets import PRESETS
from fastconv.style.demo import pictures as demo
from fastconv.style.files import free_name
from fastconv.style.images import PictureLike
from fastconv.style.running.outputs import Outputs


class Inputs(NamedTuple):
    """A run that can begin: its pictures, what it writes, and the options that were given."""

    content: PictureLike
    styles: Sequence[PictureLike]
    outputs: Outputs
    options: dict[str, Any]


def inputs_of(args: argparse.Namespace) -> Inputs:
    """Return what the arguments ask for, or raise if they don't make a command."""
    return _demo(args) if "demo" in args else _own_pictures(args)


def _demo(args: argparse.Namespace) -> Inputs:
    if args.pictures:
        raise CommandError(Exit.USAGE, f"style: --demo takes no pictures, got {' '.join(args.pictures)}")
    content, style = demo.demo_pictures()
    options = _options(args)
    size = PRESETS.get(options.get("preset", ""), {}).get("size", demo.DEMO_SIZE)
    picture = getattr(args, "output", None) or free_name(Path("demo.png"))
    return Inputs(content, [style], _outputs(args, picture), {"size": size, **options})


def _own_pictures(args: argparse.Namespace) -> Inputs:
    if len(args.pictures) < 2:
        raise CommandError(
            Exit.USAGE, "style: expected CONTENT STYLE [STYLE ...] -o OUT, or --demo; see fastconv style --help"
        )
    if "output" not in args:
        raise CommandError(Exit.USAGE, "style: expected -o OUT, the picture to make")
    content, *styles = args.pictures
    return Inputs(content, styles, _outputs(args, args.output), _options(args))


def _options(args: argparse.Namespace) -> dict[str, Any]:
    known = defaults()
    return {name: value for name, value in given(args).items() if name in known}


def _outputs(args: argparse.Namespace, picture: Path) -> Outputs:
    names = {field.name for field in dataclasses.fields(Outputs)}
    return Outputs(picture, **{name: value for name, value in given(args).items() if name in names})
