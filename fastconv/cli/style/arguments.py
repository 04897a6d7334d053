"""The arguments of `fastconv style`: a function for what they concern, in the order of the help.

`dest` of an option is its name in `stylize`, or in `fastconv.style.running.outputs.Outputs`; it has no default here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fastconv.cli import transfers
from fastconv.cli.style import values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all of them."""
    _add_task(parser)

    picture = parser.add_argument_group("the picture")
    _add_size(picture)
    _add_balance(picture)
    _add_paintings(picture)
    _add_smoothness(picture)
    _add_start(picture)

    method = parser.add_argument_group("the method")
    _add_length(method)
    _add_losses(method)
    _add_network(method)
    _add_optimizer(method)

    kept = parser.add_argument_group("what is kept")
    transfers.add_overwrite(kept)
    _add_file(kept)
    _add_on_the_way(kept)
    _add_reports(kept)

    program = parser.add_argument_group("the program")
    transfers.add_weights_and_threads(program)
    _add_memory(program)
    transfers.add_quiet(program)
    _add_json(program)


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pictures", nargs="*", default=[], help="the photograph, or a folder of them, then one or more paintings"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="the picture to make: .png, .jpg, .webp or .tif; or a folder"
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="need no pictures; writes demo.png, 384 px unless --size or --preset says otherwise",
    )
    parser.add_argument("--preset", metavar="NAME", help="fast, best or gatys: which defaults the other options have")
    parser.add_argument("--list-layers", action="store_true", help="print the names of the network's layers")


def _add_size(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--size", type=values.size, metavar="N|WxH", help="long side in pixels; WxH stretches")
    group.add_argument("--enlarge", action="store_true", help="enlarge pictures that are smaller")
    group.add_argument("--restore-size", action="store_true", help="save at the photograph's own size")


def _add_balance(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--alpha", "--content-weight", type=float, metavar="X", help="weight of the photograph")
    group.add_argument("--beta", "--style-weight", type=float, metavar="X", help="weight of the style")
    group.add_argument(
        "--style-weights",
        "-sw",
        type=values.numbers("numbers separated by commas, one for each painting, such as 1,3"),
        metavar="X,X,...",
        help="shares of several paintings (default: equal)",
    )


def _add_paintings(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--mask",
        dest="masks",
        action="append",
        metavar="FILE",
        help="white where a painting applies; once for each painting, in their order",
    )
    group.add_argument("--style-scale", type=float, metavar="X", help="size of the paintings, times the result's")
    group.add_argument(
        "--preserve-colors",
        metavar="HOW",
        help="luma: the photograph's colours, the result's brightness; match: paintings recoloured to the photograph",
    )


def _add_smoothness(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--total-variation", "--tv", type=float, metavar="X", help="weight of smoothness")


def _add_start(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--init", metavar="START", help="content, noise, gray, style (its colours) or a picture")
    group.add_argument("--seed", type=int, metavar="N", help="of the noise")


def _add_length(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--steps", "--iterations", type=int, metavar="N", help="steps a scale, twice as many at the first of several"
    )
    group.add_argument(
        "--min-scale", type=int, metavar="N", help="long side of the first scale; --size or more: no scales"
    )


def _add_losses(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--loss", metavar="NAME", help="relative, gatys, gram or wasserstein; each needs another --beta")
    group.add_argument(
        "--content-layers", type=values.names, metavar="L,L:W,...", help="compared with the photograph, W is a weight"
    )
    group.add_argument("--style-layers", type=values.names, metavar="L,L:W,...", help="compared with the paintings")


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--pooling", metavar="NAME", help="max or average")
    group.add_argument("--padding", metavar="NAME", help="replicate, or zeros, which paint a frame")


def _add_optimizer(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--optimizer", metavar="NAME", help="adam or lbfgs")
    group.add_argument("--learning-rate", "--lr", type=float, metavar="X", help="grey levels a step, about")
    group.add_argument(
        "--betas",
        type=values.numbers("two numbers from 0 to below 1, separated by a comma, such as 0.9,0.99"),
        metavar="X,X",
        help="decay rates of Adam",
    )
    group.add_argument("--no-clip", dest="clip", action="store_false", help="let pixels leave 0 to 255")
    group.add_argument(
        "--average",
        type=float,
        metavar="X",
        help="decay of the average of the steps; 0: the last one (default: 1 - 10/steps, at most 0.99)",
    )


def _add_file(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--bits", type=int, metavar="N", help="bits a channel: 8, or 16 for PNG and TIFF (default: 8)")
    group.add_argument(
        "--no-metadata", dest="metadata", action="store_false", help="keep the settings out of the pictures"
    )


def _add_on_the_way(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--save-every", type=int, metavar="N", help="save OUT-0100.png and so on, after each N steps")
    group.add_argument("--in-place", action="store_true", help="with --save-every: save OUT itself")
    group.add_argument("--checkpoint", type=Path, metavar="FILE", help="keep here what --resume needs to go on")
    group.add_argument("--resume", type=Path, metavar="FILE", help="go on from a checkpoint, with its settings")


def _add_reports(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--report", type=Path, metavar="FILE.html", help="a page with pictures, losses, times, settings")
    group.add_argument("--movie", type=Path, metavar="FILE", help="the picture on its way, as .gif or .mp4")
    group.add_argument("--log", dest="log_file", type=Path, metavar="FILE.json", help="settings and losses")


def _add_memory(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="such as 4GB; what is larger is done in tiles (default: 80%% of what is free)",
    )
    group.add_argument(
        "--tile", type=int, metavar="N", help="side of the tiles in pixels, 0 for none (default: as memory allows)"
    )


def _add_json(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", action="store_true", help="print settings and losses instead of the path")
