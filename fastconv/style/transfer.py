"""Neural style transfer: a photograph repainted until VGG-19 sees a painting's textures in it.

The method is Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style", arXiv:1508.06576: the pixels
are optimised so that deep features stay those of the content picture, while the correlations of features at
several depths become those of the style picture. The optimisation runs from coarse to fine, so that a style's
large forms are laid out while the picture is small and steps are cheap.
"""

from __future__ import annotations

import itertools
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numba
import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import weights as vgg_weights
from fastconv.nn.losses import ContentLoss, StyleLoss, TotalVariation, gram_matrix
from fastconv.nn.optim import Adam
from fastconv.nn.vgg import VGG19
from fastconv.style import memory
from fastconv.style.images import ImageError, Picture, PictureLike, load, resize
from fastconv.style.options import INITS, SMALLEST_SIDE, OptionError, Options, with_options
from fastconv.style.scales import (
    Scale,
    Size,
    plan_scales,
    resize_canvas,
    resume_moments,
    style_size,
    target_size,
    to_canvas,
    to_picture,
    to_planes,
    to_uint8,
)

Array = NDArray[Any]


# --- the loss -----------------------------------------------------------------------------------------------


class Losses(NamedTuple):
    """The parts of the loss, each multiplied by its weight."""

    content: float
    style: float
    smoothness: float

    @property
    def total(self) -> float:
        """What is minimised."""
        return sum(self)


class Objective:
    """The loss of a picture and its gradient: alpha * content + beta * style + total variation.

    Parameters
    ----------
    network : VGG19
        Whose features are compared.
    content : ndarray, shape (1, 3, H, W)
        Content picture, RGB from 0 to 255, of the size that will be optimised.
    styles : sequence of ndarray, shape (1, 3, h, w)
        Style pictures, of any size.
    options : Options
        Weights, layers and normalisation of the losses.

    Notes
    -----
    Gatys, Ecker and Bethge, arXiv:1508.06576, equation 7. With several styles the style loss is the mean of
    theirs, weighted by `Options.style_blend`.
    """

    def __init__(self, network: VGG19, content: Array, styles: Sequence[Array], options: Options) -> None:
        self._network = network
        self._content = self._content_losses(content, options) if options.alpha else []
        self._style = self._style_losses(styles, options) if options.beta else []
        self._smoothness = TotalVariation(weight=options.total_variation) if options.total_variation else None
        self._layers = {layer for layer, _ in (*self._content, *self._style)}

    def _content_losses(self, content: Array, options: Options) -> list[tuple[str, ContentLoss]]:
        if not options.content_layers:
            return []
        weight = options.alpha / len(options.content_layers)
        targets = self._network.forward(content, options.content_layers, needs_gradient=False)
        return [(layer, ContentLoss(target, options.loss, weight=weight)) for layer, target in targets.items()]

    def _style_losses(self, styles: Sequence[Array], options: Options) -> list[tuple[str, StyleLoss]]:
        if not options.style_layers:
            return []
        shares = np.asarray(options.style_blend or np.ones(len(styles)), float)
        losses = []
        for style, share in zip(styles, shares / shares.sum(), strict=True):
            weight = options.beta * float(share) / len(options.style_layers)
            features = self._network.forward(style, options.style_layers, needs_gradient=False)
            for layer in list(features):
                target = gram_matrix(features.pop(layer))
                losses.append((layer, StyleLoss(target, options.loss, weight=weight)))
        return losses

    def __call__(self, image: Array) -> tuple[Losses, Array]:
        """Return the parts of the loss of `image`, shape (1, 3, H, W), and the gradient of the total."""
        features = self._network.forward(image, self._layers)
        content = sum(loss.forward(features[layer]) for layer, loss in self._content)
        style = sum(loss.forward(features[layer]) for layer, loss in self._style)
        del features  # the losses hold what they need of them, and let go of it layer by layer
        gradient = self._network.backward({layer: partial(self._gradient_at, layer) for layer in self._layers})
        smoothness = 0.0
        if self._smoothness is not None:
            smoothness = self._smoothness.forward(image)
            gradient += self._smoothness.backward()
        return Losses(content, style, smoothness), gradient

    def _gradient_at(self, layer: str) -> Array:
        """Gradient of all losses with respect to one layer's features."""
        losses: Iterator[tuple[str, ContentLoss | StyleLoss]] = itertools.chain(self._content, self._style)
        gradients = [loss.backward() for name, loss in losses if name == layer]
        return sum(gradients[1:], start=gradients[0])


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
    optimizer: Adam
    average: RunningAverage
    step: int = 0


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
    """

    image: NDArray[np.uint8]
    losses: list[LossRecord]
    settings: dict[str, Any]


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
    **options
        See `Options`.

    Attributes
    ----------
    options : Options
    plan : tuple of Scale
        The scales the run goes through.
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
    fastconv.style.memory.MemoryLimitError
        If the run would need more memory than there is.
    fastconv.weights.WeightsError
        If the weights are missing or wrong.
    """

    def __init__(
        self,
        content: PictureLike,
        styles: PictureLike | Sequence[PictureLike],
        *,
        weights: str | os.PathLike[str] | vgg_weights.VGGWeights | None = None,
        offline: bool = False,
        log: Callable[[str], None] | None = None,
        **options: Any,
    ) -> None:
        self.options = Options(**options)
        self._content = _load_large_enough(content, "content")
        pictures = _as_list(styles)
        self._styles = [_load_large_enough(style, f"style {i}") for i, style in enumerate(pictures, start=1)]
        self._init = None if _is_name(self.options.init) else load(self.options.init, name="init")
        self._check_styles()
        size = target_size(self._content.size, self.options)
        self.plan = plan_scales(size, min_scale=self.options.min_scale, steps=self.options.steps)
        self._check_memory()
        if not isinstance(weights, vgg_weights.VGGWeights):
            weights = vgg_weights.load(weights, offline=offline, progress=log is not None, log=log)
        self._network = VGG19(weights.layers, dtype=self.options.dtype, pooling=self.options.pooling)
        self.weights_path = weights.path
        self.settings = self._describe(weights, content, pictures)
        self.random = np.random.default_rng(self.options.seed)
        self.state: State | None = None
        self.losses: list[LossRecord] = []

    def _check_styles(self) -> None:
        if not self._styles:
            raise OptionError("styles must hold at least one picture, got none")
        weights = self.options.style_blend
        if weights is not None and len(weights) != len(self._styles):
            raise OptionError(
                f"style_blend must hold a number for each style picture, {len(self._styles)}, got {len(weights)}"
            )

    def _check_memory(self) -> None:
        last = self.plan[-1]
        styles = [style_size(style.size, last, self.options) for style in self._styles]
        memory.check(last.size, styles, self.options.dtype)

    def _describe(
        self, weights: vgg_weights.VGGWeights, content: PictureLike, styles: Sequence[PictureLike]
    ) -> dict[str, Any]:
        options = asdict(self.options)
        if self._init is not None:
            options["init"] = _name(self.options.init)
        return {
            **options,
            "content": {"name": _name(content), "size": self._content.size},
            "styles": [
                {"name": _name(name), "size": style.size} for name, style in zip(styles, self._styles, strict=True)
            ],
            "scales": [asdict(scale) for scale in self.plan],
            "weights": {"source": weights.source, "sha256": weights.sha256, "exact": weights.exact},
            "threads": fastconv.get_num_threads(),
            "versions": {
                "fastconv": fastconv.__version__,
                "numba": numba.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }

    @property
    def output_size(self) -> Size:
        """Height and width of the result."""
        return self._content.size if self.options.restore_size else self.plan[-1].size

    def __iter__(self) -> Iterator[Step]:
        for scale in self._scales_left():
            content = to_canvas(self._content.resized(scale.size).rgb, self.options.dtype)
            if self.state is None or self.state.scale != scale:
                self.state = self._next_state(scale, content)
            objective = self._objective(scale, content)
            while self.state.step < scale.steps:
                yield self._step(self.state, objective)

    def _scales_left(self) -> tuple[Scale, ...]:
        if self.state is None:
            return self.plan
        current = self.plan.index(self.state.scale)
        return self.plan[current + (self.state.step >= self.state.scale.steps) :]

    def _next_state(self, scale: Scale, content: Array) -> State:
        """Start a scale where the one before it ended."""
        options, old = self.options, self.state
        if old is None:
            canvas = self._first_canvas(scale, content)
        else:
            canvas = resize_canvas(old.average.value, old.scale.size, scale.size)
        optimizer = Adam(canvas, options.learning_rate, betas=options.betas)
        if old is not None:
            resume_moments(optimizer, old.optimizer, old.scale.size, scale.size)
        return State(scale, optimizer, RunningAverage(average_decay(options, scale.steps), canvas))

    def _first_canvas(self, scale: Scale, content: Array) -> Array:
        if self._init is not None:
            return to_canvas(self._init.resized(scale.size).rgb, self.options.dtype)
        if self.options.init == "noise":
            return self.random.uniform(0, 255, content.shape).astype(content.dtype)
        if self.options.init == "gray":
            return np.full_like(content, 127.5)
        return content.copy()

    def _objective(self, scale: Scale, content: Array) -> Objective:
        """Compute the targets at a scale."""
        sizes = [style_size(style.size, scale, self.options) for style in self._styles]
        resized = [style.resized(size).rgb for style, size in zip(self._styles, sizes, strict=True)]
        styles = [to_planes(rgb, self.options.dtype) for rgb in resized]
        return Objective(self._network, content, styles, self.options)

    def _step(self, state: State, objective: Objective) -> Step:
        started = time.perf_counter()
        canvas = state.optimizer.parameter
        losses, gradient = objective(canvas)
        if not math.isfinite(losses.total):
            raise FloatingPointError(
                f"the loss became {losses.total} in step {state.step + 1} at {state.scale.long_side} px; "
                f"try a learning_rate below {self.options.learning_rate}"
            )
        state.optimizer.step(gradient)
        if self.options.clip:
            np.clip(canvas, 0, 255, out=canvas)
        state.average.update(canvas)
        state.step += 1
        seconds = time.perf_counter() - started
        record = LossRecord(state.scale.long_side, state.step, losses.total, losses.content, losses.style, seconds)
        self.losses.append(record)
        return Step(**record._asdict(), steps=state.scale.steps, image=lambda: to_uint8(self.picture()))

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
        image = resize(self.picture(), self.output_size, method="lanczos")
        return Result(to_uint8(image), list(self.losses), self.settings)


def _as_list(styles: PictureLike | Sequence[PictureLike]) -> list[PictureLike]:
    return list(styles) if isinstance(styles, list | tuple) else [cast(PictureLike, styles)]


def _is_name(init: PictureLike) -> bool:
    return isinstance(init, str) and init in INITS


def _name(picture: PictureLike) -> str:
    """Return what to call a picture in the settings: a file's name, without the folder, which is private."""
    return Path(picture).name if isinstance(picture, str | os.PathLike) else type(picture).__name__


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
    **options: Any,
) -> Iterator[Step]:
    """Repaint `content` in the manner of `styles`, step by step.

    Parameters
    ----------
    content, styles, weights, offline, log
        See `Transfer`.
    **options
        See `Options`, which has the defaults.

    Yields
    ------
    Step
        After each step of the optimisation; its `image()` is the picture so far.
    """
    return iter(Transfer(content, styles, weights=weights, offline=offline, log=log, **options))


@with_options
def stylize(
    content: PictureLike,
    styles: PictureLike | Sequence[PictureLike],
    *,
    weights: str | os.PathLike[str] | vgg_weights.VGGWeights | None = None,
    offline: bool = False,
    log: Callable[[str], None] | None = None,
    callback: Callable[[Step], None] | None = None,
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
    **options
        See `Options`, which has the defaults.

    Returns
    -------
    Result
        The picture, the losses of every step, and the settings that made it.

    Raises
    ------
    OptionError, ImageError
        If an option has no meaning or a picture cannot be read.
    fastconv.style.memory.MemoryLimitError
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
    transfer = Transfer(content, styles, weights=weights, offline=offline, log=log, **options)
    for step in transfer:
        if callback is not None:
            callback(step)
    return transfer.result()
