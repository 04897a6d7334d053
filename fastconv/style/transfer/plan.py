"""The plan of a run: its scales, its tiles, and the work and memory that they take."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from fastconv.style.algorithm.options import Options
from fastconv.style.algorithm.scales import Scale, plan_scales, style_size, target_size
from fastconv.style.algorithm.tiles import Layout, layout_of
from fastconv.style.images import Size
from fastconv.style.transfer.fitting import choose_tile
from fastconv.style.transfer.inputs import Inputs
from fastconv.style.transfer.memory import Loaded, estimate
from fastconv.style.transfer.work import flop_of_step


@dataclass(frozen=True)
class Plan:
    """What a run goes through.

    Attributes
    ----------
    options : Options
    scales : tuple of Scale
        From coarse to fine.
    tile : int
        As in `Options`, chosen by the memory there is if it is not among the options; 0: the run has no tiles.
    memory : int
        Estimate of the peak memory, in bytes.
    output_size : (int, int)
        Height and width of the result.
    """

    options: Options
    scales: tuple[Scale, ...]
    tile: int
    memory: int
    output_size: Size

    def layout(self, scale: Scale) -> Layout:
        """Return how the picture is divided into tiles at a scale."""
        return layout_of(scale.size, self.options, self.tile or None)

    def flop(self, scale: Scale) -> int:
        """Return the floating-point operations of a step at a scale, as `fastconv.style.transfer.work.flop_of_step`."""
        return flop_of_step(scale.size, self.options, self.tile or None)

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON knows it."""
        return {
            "scales": [asdict(scale) for scale in self.scales],
            "tile": self.tile,
            "estimate": {"memory": self.memory, "flop": self.flop(self.scales[-1])},
        }


def plan_for(inputs: Inputs) -> Plan:
    """Plan a run.

    Raises
    ------
    OptionError
        If the result would be too small.
    fastconv.style.MemoryLimitError
        If the run would need more memory than there is.
    """
    options = inputs.options
    scales = plan_scales(target_size(inputs.content.size, options), min_scale=options.min_scale, steps=options.steps)
    last = scales[-1]
    styles = [style_size(style.size, last, options) for style in inputs.styles]
    loaded = _loaded(inputs)
    tile = choose_tile(last.size, styles, options, loaded)
    needed = estimate(last.size, styles, options, tile or None, loaded)
    return Plan(options, scales, tile, needed, inputs.content.size if options.restore_size else last.size)


def _loaded(inputs: Inputs) -> Loaded:
    pictures = inputs.all_pictures
    arrays = [array for picture in pictures for array in (picture.rgb, picture.alpha) if array is not None]
    return Loaded(
        nbytes=sum(array.nbytes for array in [*arrays, *(inputs.masks or ())]),
        largest=max(math.prod(picture.size) for picture in pictures),
        content=math.prod(inputs.content.size),
    )
