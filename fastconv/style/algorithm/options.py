"""The options of a transfer: their meaning, their defaults and their checks, each in one place."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastconv.nn.losses import COMPARISONS, Comparison
from fastconv.nn.vgg_layers import LAYER_NAMES as LAYER_NAMES  # for the command line, too
from fastconv.nn.vgg_layers import PADDINGS
from fastconv.style.images import PictureLike

INITS = ("content", "noise", "gray", "style")
SMALLEST_TILE = 320  # leaves something to own within the halos of any layer
SMALLEST_SIDE = 16  # of any picture: VGG-19's pooling halves it four times before relu5_1

Function = TypeVar("Function", bound=Callable[..., Any])


class OptionError(ValueError):
    """An option of the transfer that has no meaning; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything, beside the pictures and the weights, that decides what the result looks like, to the last digit.

    Parameters
    ----------
    size : int or str
        Long side of the result in pixels, or "WIDTHxHEIGHT" to stretch it.
    enlarge : bool
        Whether pictures smaller than asked for are enlarged. Without it they keep their size.
    restore_size : bool
        Whether the result is resized to the content picture's own size at the end.
    min_scale : int
        Long side of the first, coarsest scale, about; from there the scales grow to `size` in steps of the
        square root of 2. At `size` or above there is one scale only.
    steps : int
        Optimisation steps at each scale; the first of several scales takes twice as many. A step is one
        evaluation of the loss and its gradient.
    alpha, beta : float
        Weights of the content and of the style loss.
    total_variation : float
        Weight of the total variation, which smooths: a mean square over nine points.
    loss : {"relative", "gatys", "gram", "wasserstein"}
        How features are compared, see `fastconv.nn.losses`. Each needs another `beta`.
    content_layers, style_layers : sequence of str
        Features compared, such as "relu4_2", or "relu4_2:3" for one that counts three times as much as one
        without a number. The layers of a kind share its weight.
    pooling : {"max", "average"}
        How the network pools. Averages are doubled, which brings them near the maxima in size.
    padding : {"replicate", "zeros"}
        What the network sees around the picture: repeated pixels, or zeros as when it was trained, which paint
        a frame.
    style_weights : sequence of float, optional
        Relative weight of each style picture; equal by default.
    masks : sequence of pictures, optional
        One for each style picture, white where in the content picture the style applies. They may overlap.
    preserve_colors : {None, "luma", "match"}
        How the content picture's colours are kept: the result's brightness in the content's colours, or styles
        recoloured beforehand to the content's mean and covariance.
    style_scale : float
        Long side of the style pictures as a multiple of the result's: above 1 makes a style's forms larger.
    optimizer : {"adam", "lbfgs"}
        L-BFGS needs no tuning and some 830 bytes a pixel more. It begins anew at each scale, and its result is the
        best picture it saw.
    learning_rate : float
        Grey levels a pixel moves in Adam's first steps, or in the first one of L-BFGS.
    betas : (float, float)
        Adam's decay rates.
    clip : bool
        Whether pixels are kept within 0 to 255 after each step.
    average : float, optional
        Decay, in [0, 1), of the running average of Adam's iterates, which is the result. By default
        min(0.99, 1 - 10 / steps). 0 makes the last iterate the result.
    init : {"content", "noise", "gray", "style"} or picture
        What the optimisation starts from; "style" is noise in the style pictures' colours.
    seed : int
        Of the noise.
    dtype : {"float32", "float64"}
        Precision of all computations.
    max_memory : int or str, optional
        Bytes that the whole process may take, or "4GB", "500M", "2GiB". By default 80 % of what is free. Pictures
        for which it does not suffice are worked on in tiles.
    tile : int, optional
        Side in pixels of a square that no tile exceeds in area, to choose it by hand; 0 for no tiles. By default
        the largest that fits into memory. Tiles change nothing but rounding, and cost time.

    Raises
    ------
    OptionError
        If a value has no meaning. The message names the option, what came and what was expected.
    """

    size: int | str = 512
    enlarge: bool = False
    restore_size: bool = False
    min_scale: int = 128
    steps: int = 50
    alpha: float = 1.0
    beta: float = 12.0
    total_variation: float = 1e-3
    loss: str = "relative"
    content_layers: Sequence[str] = ("relu4_2",)
    style_layers: Sequence[str] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    pooling: str = "max"
    padding: str = "replicate"
    style_weights: Sequence[float] | None = None
    masks: Sequence[PictureLike] | None = None
    preserve_colors: str | None = None
    style_scale: float = 1.0
    optimizer: str = "adam"
    learning_rate: float = 10.0
    betas: tuple[float, float] = (0.9, 0.99)
    clip: bool = True
    average: float | None = None
    init: PictureLike = "content"
    seed: int = 0
    dtype: str = "float32"
    max_memory: int | str | None = None
    tile: int | None = None

    def __post_init__(self) -> None:
        parse_size(self.size)
        self._check_whole("min_scale", "steps", at_least=1)
        self._check_whole("seed", at_least=0)
        self._check_numbers("alpha", "beta", "total_variation", zero_allowed=True)
        self._check_numbers("learning_rate", "style_scale", zero_allowed=False)
        self._check_choice("loss", tuple(COMPARISONS))
        self._check_choice("pooling", ("max", "average"))
        self._check_choice("padding", PADDINGS)
        self._check_choice("preserve_colors", (None, "luma", "match"))
        self._check_choice("optimizer", ("adam", "lbfgs"))
        self._check_choice("dtype", ("float32", "float64"))
        _check_layers("content_layers", self.content_layers)
        _check_layers("style_layers", self.style_layers)
        if not ((self.alpha and self.content_layers) or (self.beta and self.style_layers)):
            raise OptionError("alpha and beta, or their layers, are all zero or empty: nothing to optimise")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise OptionError(f"betas must be two numbers in [0, 1), got {self.betas}")
        if self.average is not None and not 0 <= self.average < 1:
            raise OptionError(f"average must be in [0, 1), got {self.average}")
        parse_memory(self.max_memory)
        self._check_tile()
        if self.style_weights is not None and not _are_weights(self.style_weights):
            raise OptionError(f"style_weights must be numbers of at least 0, one above it, got {self.style_weights}")

    def comparison(self) -> Comparison:
        """Return how features are compared."""
        return COMPARISONS[self.loss]

    def content_shares(self) -> dict[str, float]:
        """Return the layers in which the content counts, and the share of each; none if `alpha` is zero."""
        return layer_weights(self.content_layers) if self.alpha else {}

    def style_shares(self) -> dict[str, float]:
        """Return the layers in which the style counts, and the share of each; none if `beta` is zero."""
        return layer_weights(self.style_layers) if self.beta else {}

    def compared_layers(self) -> set[str]:
        """Return the layers whose features are compared."""
        return {*self.content_shares(), *self.style_shares()}

    def _check_tile(self) -> None:
        if self.tile is None:
            return
        if type(self.tile) is not int or not (self.tile == 0 or self.tile >= SMALLEST_TILE):
            raise OptionError(f"tile must be a whole number of at least {SMALLEST_TILE}, or 0, got {self.tile!r}")
        if self.tile and self.optimizer == "lbfgs":
            raise OptionError(f"optimizer lbfgs can't work with a tile, got {self.tile}; adam can")

    def _check_whole(self, *names: str, at_least: int) -> None:
        for name in names:
            value = getattr(self, name)
            if type(value) is not int or value < at_least:
                raise OptionError(f"{name} must be a whole number of at least {at_least}, got {value!r}")

    def _check_numbers(self, *names: str, zero_allowed: bool) -> None:
        for name in names:
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < math.inf and (value > 0 or zero_allowed)):
                expected = "at least 0" if zero_allowed else "above 0"
                raise OptionError(f"{name} must be a finite number {expected}, got {value!r}")

    def _check_choice(self, name: str, choices: Sequence[str | None]) -> None:
        if getattr(self, name) not in choices:
            raise OptionError(f"{name} must be one of {', '.join(map(str, choices))}, got {getattr(self, name)!r}")


def layer_weights(layers: Sequence[str]) -> dict[str, float]:
    """Return the share of each layer in the loss, from names such as "relu1_1" and "relu1_1:256"."""
    weights = dict(map(_split_layer, layers))
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}


def _split_layer(layer: str) -> tuple[str, float]:
    name, colon, weight = layer.partition(":")
    return name, float(weight) if colon else 1.0


def _check_layers(option: str, layers: Sequence[str]) -> None:
    try:
        names, weights = zip(*map(_split_layer, layers), strict=True) if layers else ((), ())
    except ValueError:
        weights = (math.nan,)
    if layers and not _are_weights(weights):
        expected = "layers with weights of at least 0, one above it, such as relu4_2:0.5"
        raise OptionError(f"{option} must be {expected}, got {', '.join(layers)}")
    for name in names:
        if name not in LAYER_NAMES:
            raise OptionError(f"{option} must be layers of VGG-19 such as relu4_2, got {name!r}")
        if names.count(name) > 1:
            raise OptionError(f"{option} must name a layer once, got {name!r} {names.count(name)} times")


def _are_weights(numbers: Sequence[float]) -> bool:
    return all(0 <= number < math.inf for number in numbers) and sum(numbers) > 0


def parse_size(size: int | str) -> tuple[int, int] | None:
    """Return height and width for a size such as "320x192"; None for a long side, which keeps the aspect."""
    if type(size) is int:
        sides: tuple[int, ...] = (size,)
    else:
        parts = str(size).lower().split("x")
        sides = tuple(int(part) for part in parts if part.isascii() and part.isdigit())
        if len(sides) != len(parts):
            sides = ()
    if len(sides) not in (1, 2) or min(sides) < SMALLEST_SIDE:
        raise OptionError(
            f"size must be the long side in pixels, at least {SMALLEST_SIDE}, or WIDTHxHEIGHT, got {size!r}"
        )
    return None if len(sides) == 1 else (sides[1], sides[0])


def parse_memory(text: int | str | None) -> int | None:
    """Return the bytes that are meant by a number, or by a text such as "4GB", "4G" or "3.7GiB"; None for None."""
    if text is None:
        return None
    found = _MEMORY.fullmatch(str(text).strip())
    if type(text) not in (int, str) or found is None or not (nbytes := _nbytes(*found.groups())):
        raise OptionError(f"max_memory must be a number of bytes above 0, or such as 500M, 4GB or 4GiB, got {text!r}")
    return nbytes


_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?)?", re.ASCII | re.IGNORECASE)


def _nbytes(number: str, prefix: str | None, binary: str | None) -> int:
    factor = 1024 if binary else 1000
    return int(float(number) * factor ** (" KMGT".index(prefix.upper()) if prefix else 0))


def with_options(function: Function) -> Function:
    """Show the fields of `Options` as keyword arguments of `function`, to help() and to the command line."""
    shown = inspect.signature(function)
    own = [p for p in shown.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    options = inspect.signature(Options).parameters.values()
    function.__signature__ = shown.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return function
