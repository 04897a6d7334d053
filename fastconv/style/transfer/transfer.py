"""Neural style transfer: a photograph repainted until VGG-19 sees a painting's textures in it.

The method is Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style", arXiv:1508.06576: the pixels
are optimised so that deep features stay those of the content picture, while the correlations of features at
several depths become those of the style picture. The optimisation runs from coarse to fine, so that a style's
large forms are laid out while the picture is small and steps are cheap.
"""

from __future__ import annotations

import copy
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple, cast

import numba
import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import weights as vgg_weights
from fastconv.nn.optim import Adam
from fastconv.nn.vgg import VGG19, weights_for
from fastconv.style.algorithm.canvas import mask_to_canvas, resize_canvas, to_canvas, to_picture, to_planes, to_uint8
from fastconv.style.algorithm.lbfgs import LBFGS
from fastconv.style.algorithm.objective import Losses, Objective, StyleTargets, shares
from fastconv.style.algorithm.optimizers import resume_moments
from fastconv.style.algorithm.options import INITS, SMALLEST_SIDE, OptionError, Options, with_options
from fastconv.style.algorithm.presets import options_of
from fastconv.style.algorithm.scales import Scale, plan_scales, style_size, target_size
from fastconv.style.algorithm.tiles import Layout
from fastconv.style.images import ImageError, Picture, PictureLike, Size, load, name_of, resize
from fastconv.style.images.colors import color_moments, color_noise, match_colors, with_luma
from fastconv.style.images.masks import load_mask
from fastconv.style.transfer import cost, memory

Array = NDArray[Any]

BLOW_UP = 1000.0  # times the loss of the step before, or the range of pixels
LEARNING_RATE_CUT = 0.25  # after stepping back
MOST_CUTS = 5  # in a run


# --- the run ------------------------------------------------------------------------------------------------


class RunningAverage:
    """Exponential average of the iterates, corrected for its start at zero; before the first of them, `start`."""

    def __init__(self, decay: float, start: Array) -> None:
        self.decay = decay
        self._start = start
        self.sum = np.zeros_like(start)
        self.weight = 0.0

    def update(self, iterate: Array) -> None:
        """Take in the next iterate."""
        self.sum *= self.decay
        self.sum += (1 - self.decay) * iterate
        self.weight = self.decay * self.weight + (1 - self.decay)

    @property
    def value(self) -> Array:
        """The average so far."""
        return self.sum / self.weight if self.weight else self._start


def average_decay(options: Options, steps: int) -> float:
    """Decay of the running average over so many steps."""
    if options.average is not None:
        return options.average
    return min(0.99, max(0.0, 1 - 10 / steps))


@dataclass
class State:
    """What the optimisation knows at a scale after so many steps; the next scale, too, starts from it."""

    scale: Scale
    optimizer: Adam | LBFGS
    average: RunningAverage
    step: int = 0
    sound: Array | None = None
    """Where to go back to if the next step blows up."""

    def advance(self, losses: Losses, gradient: Array, *, clip: bool) -> None:
        """Take a step, given the losses of `optimizer.parameter` and their gradient."""
        if isinstance(self.optimizer, LBFGS):
            self.optimizer.step(losses.total, gradient)
            self.sound = self.optimizer.best
            self.average.update(self.optimizer.best)
        else:
            self.sound = self.optimizer.parameter.copy()
            self.optimizer.step(gradient)
            if clip:
                np.clip(self.optimizer.parameter, 0, 255, out=self.optimizer.parameter)
            self.average.update(self.optimizer.parameter)
        self.step += 1


class LossRecord(NamedTuple):
    """The losses of one step."""

    scale: int
    step: int
    loss: float
    content: float
    style: float
    seconds: float


@dataclass(frozen=True)
class Step:
    """One step of the optimisation that is done.

    Attributes
    ----------
    scale : int
        Long side of the picture at this scale, in pixels.
    step, steps : int
        Number of this step, from 1, and of all steps at this scale.
    loss, content, style : float
        The loss before the step was taken, and its parts, weights included. What the parts lack is the total
        variation.
    seconds : float
        Time the step took.
    image : callable
        Returns the picture as it is, uint8 of shape (H, W, 3), at this scale. Call it before the next step.
    """

    scale: int
    step: int
    steps: int
    loss: float
    content: float
    style: float
    seconds: float
    image: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Result:
    """A finished transfer.

    Attributes
    ----------
    image : ndarray, shape (H, W, 3), uint8
        The picture, sRGB.
    losses : list of LossRecord
        Of every step.
    settings : dict
        What the picture was made with: every option, sizes, weights and their hash, threads, versions. It
        can be written as JSON.
    rgb : ndarray, shape (H, W, 3), float32
        The picture before rounding, from 0 to 255, for files of 16 bits a channel.
    alpha : ndarray, shape (H, W), float32, or None
        The content picture's opacity from 0 to 1, None if it is opaque.
    """

    image: NDArray[np.uint8]
    losses: list[LossRecord]
    settings: dict[str, Any]
    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32] | None


class Transfer:
    """A run of the algorithm: iterate over its steps, and ask for `result()` at any time after the first.

    To iterate again goes on where the last iteration stopped.

    Parameters
    ----------
    content : picture
        The photograph: a path, a PIL image or an array as `fastconv.style.images.load` takes them.
    styles : picture or list of pictures
        The painting or paintings.
    weights : str, path or VGGWeights, optional
        A source of weights or a file, see `fastconv.weights.load`, or weights that have been loaded.
    offline : bool
        Whether a download of weights is forbidden.
    log : callable, optional
        Called with messages such as the announcement of a download. Without it, there is no progress bar either.
    preset : str
        A key of `fastconv.style.algorithm.presets.PRESETS`: which defaults the options have.
    **options
        See `Options`.

    Attributes
    ----------
    options : Options
    plan : tuple of Scale
        The scales the run goes through.
    tile : int
        As in `Options`, chosen by the memory there is if it is not among the options; 0: the run has no tiles.
    settings : dict
        As in `Result`.
    weights_path : Path
        The file that the weights were read from.
    random : numpy.random.Generator
        Where the noise comes from.
    state : State or None
        Where the run stands: None before the first step.
    losses : list of LossRecord
        Of the steps that are done.

    Raises
    ------
    OptionError, ImageError
        If an option has no meaning or a picture cannot be read.
    fastconv.style.transfer.memory.MemoryLimitError
        If the run would need more memory than there is.
    fastconv.weights.WeightsError
        If the weights are missing or wrong.

    Notes
    -----
    When the loss of a picture is not finite any more or 1000 times that of the step before, or the pixels are that
    far out of range, the run goes back by a step and on with a quarter of the learning rate, and says so. After
    the fifth time, iteration ends in a FloatingPointError.
    """

    def __init__(
        self,
        content: PictureLike,
        styles: PictureLike | Sequence[PictureLike],
        *,
        weights: str | os.PathLike[str] | vgg_weights.VGGWeights | None = None,
        offline: bool = False,
        log: Callable[[str], None] | None = None,
        preset: str = "fast",
        **options: Any,
    ) -> None:
        self.options = options_of(preset, options)
        self._log = log or _warn
        pictures = _as_list(styles)
        self._paintings = self._load_styles(pictures)
        self._init = None if _is_name(self.options.init) else load(self.options.init, name="init")
        self._targets: dict[tuple[int, Size], StyleTargets] = {}
        self._begin(content)
        if not isinstance(weights, vgg_weights.VGGWeights):
            weights = vgg_weights.load(weights, offline=offline, progress=log is not None, log=log)
        needed = weights_for({**self.options.content_shares(), **self.options.style_shares()})
        self._network = VGG19(
            {name: weights.layers[name] for name in needed},
            dtype=self.options.dtype,
            pooling=self.options.pooling,
            padding=self.options.padding,
        )
        self.weights_path = weights.path
        self.settings = {"preset": preset, **self._describe(weights, content, pictures)}

    def for_content(self, content: PictureLike) -> Transfer:
        """Return a transfer of another photograph, with all the rest as it is here.

        The network, and what is computed of the style pictures, serve both: run one after the other.
        """
        other = copy.copy(self)
        other._begin(content)
        other.settings = {**self.settings, **other._describe_content(content)}
        return other

    def _begin(self, content: PictureLike) -> None:
        """Do what has to be done for each photograph."""
        self._content = _load_large_enough(content, "content")
        self._styles = self._paintings
        if self.options.preserve_colors == "match":
            self._styles = [Picture(match_colors(style.rgb, self._content.rgb)) for style in self._paintings]
            self._targets = {}
        self._masks = self._load_masks()
        size = target_size(self._content.size, self.options)
        self.plan = plan_scales(size, min_scale=self.options.min_scale, steps=self.options.steps)
        self.tile = memory.choose_tile(*self._extent())
        self.random = np.random.default_rng(self.options.seed)
        self.state: State | None = None
        self.losses: list[LossRecord] = []

    def _load_styles(self, pictures: Sequence[PictureLike]) -> list[Picture]:
        if not pictures:
            raise OptionError("styles must hold at least one picture, got none")
        for name in ("style_weights", "masks"):
            given = getattr(self.options, name)
            if given is not None and len(given) != len(pictures):
                raise OptionError(f"{name} must be as many as the style pictures, {len(pictures)}, got {len(given)}")
        return [_load_large_enough(style, f"style {i}") for i, style in enumerate(pictures, start=1)]

    def _load_masks(self) -> list[Array] | None:
        if self.options.masks is None:
            return None
        sources = enumerate(self.options.masks, start=1)
        return [load_mask(source, self._content.size, name=f"mask {i}") for i, source in sources]

    def _extent(self) -> tuple[Size, list[Size], Options, cost.Loaded]:
        """Return what the estimate of memory goes by."""
        last = self.plan[-1]
        styles = [style_size(style.size, last, self.options) for style in self._styles]
        return last.size, styles, self.options, self._loaded()

    def _loaded(self) -> cost.Loaded:
        pictures = [self._content, *self._paintings, *([] if self._init is None else [self._init])]
        if self._styles is not self._paintings:
            pictures += self._styles
        arrays = [array for picture in pictures for array in (picture.rgb, picture.alpha) if array is not None]
        return cost.Loaded(
            nbytes=sum(array.nbytes for array in [*arrays, *(self._masks or [])]),
            largest=max(math.prod(picture.size) for picture in pictures),
            content=math.prod(self._content.size),
        )

    @property
    def memory_needed(self) -> int:
        """Estimate of the peak memory, in bytes."""
        size, styles, options, loaded = self._extent()
        return cost.estimate(size, styles, options, self.tile or None, loaded)

    def layout(self, scale: Scale) -> Layout:
        """Return how the picture is divided into tiles at a scale."""
        return cost.layout_of(scale.size, self.options, self.tile or None)

    def flop(self, scale: Scale) -> int:
        """Return the floating-point operations of a step at a scale, as `fastconv.style.transfer.cost.flop_of_step`."""
        return cost.flop_of_step(scale.size, self.options, self.tile or None)

    def _describe(
        self, weights: vgg_weights.VGGWeights, content: PictureLike, styles: Sequence[PictureLike]
    ) -> dict[str, Any]:
        options = {field.name: getattr(self.options, field.name) for field in fields(self.options)}
        if self._init is not None:
            options["init"] = name_of(self.options.init)
        if self.options.masks is not None:
            options["masks"] = [name_of(mask) for mask in self.options.masks]
        return {
            **options,
            **self._describe_content(content),
            "styles": [
                {"name": name_of(name), "size": style.size} for name, style in zip(styles, self._styles, strict=True)
            ],
            "weights": {"source": weights.source, "sha256": weights.sha256, "exact": weights.exact},
            "threads": fastconv.get_num_threads(),
            "versions": {
                "fastconv": fastconv.__version__,
                "numba": numba.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }

    def _describe_content(self, content: PictureLike) -> dict[str, Any]:
        return {
            "content": {"name": name_of(content), "size": self._content.size},
            "scales": [asdict(scale) for scale in self.plan],
            "tile": self.tile,
            "estimate": {"memory": self.memory_needed, "flop": self.flop(self.plan[-1])},
        }

    @property
    def content(self) -> Picture:
        """The photograph, at its own size."""
        return self._content

    @property
    def output_size(self) -> Size:
        """Height and width of the result."""
        return self._content.size if self.options.restore_size else self.plan[-1].size

    def __iter__(self) -> Iterator[Step]:
        for scale in self.plan[len(self.plan) - len(self.scales_left) :]:
            yield from self._steps_at(scale)

    def _steps_at(self, scale: Scale) -> Iterator[Step]:
        content = to_canvas(self._content.resized(scale.size).rgb, self.options.dtype)
        if self.state is None or self.state.scale != scale:
            self.state = self._next_state(scale, content)
        objective = self._objective(scale, content)
        del content  # large, and what is needed of it is in the objective
        while self.state.step < scale.steps:
            yield self._step(self.state, objective)

    @property
    def scales_left(self) -> tuple[Scale, ...]:
        """The scales still to be run through, with the steps that are left at each."""
        if self.state is None:
            return self.plan
        left = max(0, self.state.scale.steps - self.state.step)
        later = self.plan[self.plan.index(self.state.scale) + 1 :]
        return replace(self.state.scale, steps=left), *later

    @property
    def steps_in_all(self) -> int:
        """Number of steps from the beginning to the end of the run, wherever it stands."""
        return len(self.losses) + sum(scale.steps for scale in self.scales_left)

    def _next_state(self, scale: Scale, content: Array) -> State:
        """Start a scale where the one before it ended."""
        options, old = self.options, self.state
        if old is None:
            canvas = self._first_canvas(scale, content)
        else:
            canvas = resize_canvas(old.average.value, old.scale.size, scale.size)
        if options.clip:
            np.clip(canvas, 0, 255, out=canvas)  # interpolation overshoots
        optimizer = self._optimizer(canvas, old.optimizer.learning_rate if old else options.learning_rate)
        if old is not None and isinstance(optimizer, Adam) and isinstance(old.optimizer, Adam):
            resume_moments(optimizer, old.optimizer, old.scale.size, scale.size)
        return State(scale, optimizer, self._average(scale, canvas))

    def _optimizer(self, canvas: Array, learning_rate: float) -> Adam | LBFGS:
        if self.options.optimizer == "lbfgs":
            return LBFGS(canvas, learning_rate, bounds=(0, 255) if self.options.clip else None)
        return Adam(canvas, learning_rate, betas=self.options.betas)

    def _average(self, scale: Scale, canvas: Array) -> RunningAverage:
        # L-BFGS has a best picture; the others that it tries are no approximations to anything.
        decay = 0.0 if self.options.optimizer == "lbfgs" else average_decay(self.options, scale.steps)
        return RunningAverage(decay, canvas)

    def _first_canvas(self, scale: Scale, content: Array) -> Array:
        if self._init is not None:
            return to_canvas(self._init.resized(scale.size).rgb, self.options.dtype)
        if self.options.init == "noise":
            return self.random.uniform(0, 255, content.shape).astype(content.dtype)
        if self.options.init == "gray":
            return np.full_like(content, 127.5)
        if self.options.init == "style":
            weights = shares(self.options.style_weights, len(self._styles))
            moments = color_moments([style.rgb for style in self._styles], weights)
            return to_canvas(color_noise(*moments, scale.size, self.random), self.options.dtype)
        return content.copy()

    def _objective(self, scale: Scale, content: Array) -> Objective:
        """Compute the targets at a scale."""
        sizes = [style_size(style.size, scale, self.options) for style in self._styles]
        styles = (
            to_planes(style.resized(size).rgb, self.options.dtype)
            for style, size in zip(self._styles, sizes, strict=True)
        )
        areas = None if self._masks is None else [mask_to_canvas(mask, scale.size) for mask in self._masks]
        tile = self.tile or None
        return Objective(self._network, content, styles, self.options, areas, self._targets, tile)

    def _step(self, state: State, objective: Objective) -> Step:
        started = time.perf_counter()
        losses, gradient = self._evaluate(state, objective)
        state.advance(losses, gradient, clip=self.options.clip)
        farthest = np.abs(state.optimizer.parameter).max()
        if not farthest <= BLOW_UP * 255:
            self._step_back(state, f"pixels reached {farthest:.4g}")
        seconds = time.perf_counter() - started
        record = LossRecord(state.scale.long_side, state.step, losses.total, losses.content, losses.style, seconds)
        self.losses.append(record)
        return Step(
            **record._asdict(), steps=state.scale.steps, image=lambda: to_uint8(self._finished(state.scale.size))
        )

    def _evaluate(self, state: State, objective: Objective) -> tuple[Losses, Array]:
        """Return the losses and their gradient where the run stands; step back as long as it has blown up."""
        while True:
            with np.errstate(over="ignore", invalid="ignore"):
                losses, gradient = objective(state.optimizer.parameter)
            if self._is_sound(state, losses.total, gradient):
                return losses, gradient
            self._step_back(state, f"the loss became {losses.total:.4g}")

    def _is_sound(self, state: State, loss: float, gradient: Array) -> bool:
        if not (math.isfinite(loss) and np.isfinite(gradient).all()):
            return False
        # Pixels that are kept within their range cannot run away, and a loss may begin at next to nothing. The line
        # search of L-BFGS may try what is far too long, and knows what to do about it.
        safe = self.options.clip or isinstance(state.optimizer, LBFGS)
        return safe or state.step == 0 or loss <= BLOW_UP * self.losses[-1].loss

    def _step_back(self, state: State, reason: str) -> None:
        reason = f"{reason} at {state.scale.long_side} px after step {state.step}"
        learning_rate = LEARNING_RATE_CUT * state.optimizer.learning_rate
        if state.step == 0 or learning_rate < 0.99 * LEARNING_RATE_CUT**MOST_CUTS * self.options.learning_rate:
            raise FloatingPointError(f"{reason}; try a learning_rate below {self.options.learning_rate:g}")
        self._log(f"{reason}: a step back, and on with a learning_rate of {learning_rate:g}")
        canvas = state.average.value if state.sound is None else state.sound
        state.optimizer = self._optimizer(canvas, learning_rate)
        state.average = self._average(state.scale, canvas)

    def picture(self) -> Array:
        """Return the picture as it is, unrounded, shape (H, W, 3), at the scale that was reached.

        Raises
        ------
        RuntimeError
            Before the first step.
        """
        if self.state is None:
            raise RuntimeError("there is no picture before the first step")
        return to_picture(self.state.average.value, self.state.scale.size)

    def result(self) -> Result:
        """Return the picture at its final size, however far the run has come.

        Raises
        ------
        RuntimeError
            Before the first step.
        """
        rgb = self._finished(self.output_size)
        alpha = self._content.resized(self.output_size).alpha
        return Result(to_uint8(rgb), list(self.losses), self.settings, np.clip(rgb, 0, 255), alpha)

    def _finished(self, size: Size) -> Array:
        rgb = resize(self.picture(), size, method="lanczos")
        if self.options.preserve_colors == "luma":
            return with_luma(self._content.resized(size).rgb, rgb)
        return rgb


def _as_list(styles: PictureLike | Sequence[PictureLike]) -> list[PictureLike]:
    return list(styles) if isinstance(styles, list | tuple) else [cast(PictureLike, styles)]


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def _is_name(init: PictureLike) -> bool:
    return isinstance(init, str) and init in INITS


def _load_large_enough(source: PictureLike, role: str) -> Picture:
    picture = load(source, name=role)
    if min(picture.size) < SMALLEST_SIDE:
        height, width = picture.size
        raise ImageError(f"{role}: {width}x{height} px is too small, both sides must be at least {SMALLEST_SIDE} px")
    return picture


# --- the public functions -----------------------------------------------------------------------------------


@with_options
def iterate(
    content: PictureLike,
    styles: PictureLike | Sequence[PictureLike],
    *,
    weights: str | os.PathLike[str] | vgg_weights.VGGWeights | None = None,
    offline: bool = False,
    log: Callable[[str], None] | None = None,
    preset: str = "fast",
    **options: Any,
) -> Iterator[Step]:
    """Repaint `content` in the manner of `styles`, step by step.

    Parameters
    ----------
    content, styles, weights, offline, log, preset
        See `Transfer`.
    **options
        See `Options`, which has the defaults of the preset "fast".

    Yields
    ------
    Step
        After each step of the optimisation; its `image()` is the picture so far.
    """
    return iter(Transfer(content, styles, weights=weights, offline=offline, log=log, preset=preset, **options))


@with_options
def stylize(
    content: PictureLike,
    styles: PictureLike | Sequence[PictureLike],
    *,
    weights: str | os.PathLike[str] | vgg_weights.VGGWeights | None = None,
    offline: bool = False,
    log: Callable[[str], None] | None = None,
    callback: Callable[[Step], None] | None = None,
    preset: str = "fast",
    **options: Any,
) -> Result:
    """Repaint `content` in the manner of `styles`.

    Parameters
    ----------
    content : path, PIL image or ndarray of shape (H, W, 3)
        The photograph. Arrays hold sRGB values from 0 to 255.
    styles : the same, or a list of them
        The painting or paintings.
    weights : str, path or VGGWeights, optional
        A source of weights or a file, see `fastconv.weights.load`, or weights that have been loaded.
    offline : bool
        Whether a download of weights is forbidden.
    log : callable, optional
        Called with messages such as the announcement of a download. Without it, there is no progress bar either.
    callback : callable, optional
        Called with the `Step` after each one.
    preset : {"fast", "best", "gatys"}
        Which defaults the options have, see `fastconv.style.algorithm.presets`.
    **options
        See `Options`, which has the defaults of "fast".

    Returns
    -------
    Result
        The picture, the losses of every step, and the settings that made it.

    Raises
    ------
    OptionError, ImageError
        If an option has no meaning or a picture cannot be read.
    fastconv.style.transfer.memory.MemoryLimitError
        If the run would need more memory than there is.
    fastconv.weights.WeightsError
        If the weights are missing or wrong.

    Notes
    -----
    Gatys, Ecker and Bethge, arXiv:1508.06576.

    Examples
    --------
    >>> result = stylize("photo.jpg", "painting.jpg", size=384, beta=30)  # doctest: +SKIP
    >>> result.image.shape  # doctest: +SKIP
    (256, 384, 3)
    """
    transfer = Transfer(content, styles, weights=weights, offline=offline, log=log, preset=preset, **options)
    for step in transfer:
        if callback is not None:
            callback(step)
    return transfer.result()
