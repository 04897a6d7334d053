"""The descent: the loop over the steps of all scales, which steps back where a run blows up."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fastconv.geometry import Array
from fastconv.log import Log
from fastconv.nn.optim import Adam
from fastconv.nn.vgg import VGG19
from fastconv.style.algorithm.averaging import RunningAverage, average_decay
from fastconv.style.algorithm.canvas import (
    mask_to_canvas,
    resize_canvas,
    to_canvas,
    to_picture,
    to_planes,
    to_uint8,
)
from fastconv.style.algorithm.lbfgs import LBFGS
from fastconv.style.algorithm.objective import Losses, Objective
from fastconv.style.algorithm.optimizers import optimizer_of, resume_moments
from fastconv.style.algorithm.scales import Scale, style_size
from fastconv.style.algorithm.targets import KnownTargets, shares
from fastconv.style.images import Size, resize
from fastconv.style.images.colors import color_moments, color_noise, with_luma
from fastconv.style.transfer import snapshot as snapshots
from fastconv.style.transfer.inputs import Inputs
from fastconv.style.transfer.plan import Plan
from fastconv.style.transfer.results import LossRecord, Step
from fastconv.style.transfer.snapshot import Snapshot
from fastconv.style.transfer.state import State

BLOW_UP = 1000.0  # times the loss of the step before, or the range of pixels
LEARNING_RATE_CUT = 0.25  # after stepping back
MOST_CUTS = 5  # in a run


class Descent:
    """Goes through the steps of a plan: iterate over it; to iterate again goes on where the last iteration stopped.

    Parameters
    ----------
    inputs : Inputs
    plan : Plan
        For these inputs.
    network : VGG19
    targets : dict
        Targets of the style pictures that are known, as in `Objective`; what is missing is added.
    log : callable
        Told of each step back.

    Attributes
    ----------
    losses : list of LossRecord
        Of the steps that are done.
    """

    def __init__(self, inputs: Inputs, plan: Plan, network: VGG19, targets: KnownTargets, log: Log) -> None:
        self._inputs = inputs
        self._options = inputs.options
        self._plan = plan
        self._network = network
        self._targets = targets
        self._log = log
        self._random = np.random.default_rng(inputs.options.seed)
        self._state: State | None = None
        self.losses: list[LossRecord] = []

    # --- where it stands ------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the run stands.

        Raises
        ------
        RuntimeError
            Before the first step.
        """
        if self._state is None:
            raise RuntimeError("there is no picture before the first step")
        return self._state

    @property
    def has_begun(self) -> bool:
        """Whether there is a state."""
        return self._state is not None

    @property
    def scales_left(self) -> tuple[Scale, ...]:
        """The scales still to be run through, with the steps that are left at each."""
        if self._state is None:
            return self._plan.scales
        current = self._state.scale
        left = max(0, current.steps - self._state.step)
        return replace(current, steps=left), *self._plan.scales[self._plan.scales.index(current) + 1 :]

    def snapshot(self) -> Snapshot | None:
        """Return where the run stands, see `Transfer.snapshot`."""
        if self._state is None or not snapshots.can_be_taken(self._state):
            return None
        return snapshots.take(self._state, self.losses, self._random.bit_generator.state)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot, see `Transfer.restore`."""
        scales = {scale.size: scale for scale in self._plan.scales}
        if snapshot.scale.size not in scales:
            width, height = snapshot.scale.width, snapshot.scale.height
            raise ValueError(f"the snapshot stands at {width}x{height} px, which is none of the run's scales")
        self._state = snapshots.state_of(snapshot, scales[snapshot.scale.size])
        self._random.bit_generator.state = snapshot.random
        self.losses = list(snapshot.losses)

    def picture(self) -> Array:
        """Return the picture as it is, unrounded, shape (H, W, 3), at the scale that was reached."""
        return to_picture(self.state.average.value, self.state.scale.size)

    def picture_at(self, size: Size) -> Array:
        """Return the picture at a height and width, with the photograph's colours if the options say so."""
        rgb = resize(self.picture(), size, method="lanczos")
        if self._options.preserve_colors == "luma":
            return with_luma(self._inputs.content.resized(size).rgb, rgb)
        return rgb

    # --- from scale to scale --------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Step]:
        for scale in self._plan.scales[-len(self.scales_left) :]:
            yield from self._steps_at(scale)

    def _steps_at(self, scale: Scale) -> Iterator[Step]:
        if self._state is not None and self._state.scale == scale and self._state.is_done:
            return
        content = to_canvas(self._inputs.content.resized(scale.size).rgb, self._options.dtype)
        if self._state is None or self._state.scale != scale:
            self._state = self._next_state(scale, content)
        objective = self._objective(scale, content)
        del content  # large, and what is needed of it is in the objective
        while not self._state.is_done:
            yield self._step(self._state, objective)

    def _next_state(self, scale: Scale, content: Array) -> State:
        """Start a scale where the one before it ended."""
        options, old = self._options, self._state
        if old is None:
            canvas = self._first_canvas(scale, content)
        else:
            canvas = resize_canvas(old.average.value, old.scale.size, scale.size)
        if options.clip:
            np.clip(canvas, 0, 255, out=canvas)  # interpolation overshoots
        optimizer = optimizer_of(options, canvas, old.optimizer.learning_rate if old else options.learning_rate)
        if old is not None and isinstance(optimizer, Adam) and isinstance(old.optimizer, Adam):
            resume_moments(optimizer, old.optimizer, old.scale.size, scale.size)
        return State(scale, optimizer, self._average(scale, canvas))

    def _average(self, scale: Scale, canvas: Array) -> RunningAverage:
        return RunningAverage(average_decay(self._options, scale.steps), canvas)

    def _first_canvas(self, scale: Scale, content: Array) -> Array:
        inputs, options = self._inputs, self._options
        if inputs.init is not None:
            return to_canvas(inputs.init.resized(scale.size).rgb, options.dtype)
        if options.init == "noise":
            return self._random.uniform(0, 255, content.shape).astype(content.dtype)
        if options.init == "gray":
            return np.full_like(content, 127.5)
        if options.init == "style":
            weights = shares(options.style_weights, len(inputs.styles))
            moments = color_moments([style.rgb for style in inputs.styles], weights)
            return to_canvas(color_noise(*moments, scale.size, self._random), options.dtype)
        return content.copy()

    def _objective(self, scale: Scale, content: Array) -> Objective:
        """Compute the targets at a scale."""
        inputs, options = self._inputs, self._options
        styles = (
            to_planes(style.resized(style_size(style.size, scale, options)).rgb, options.dtype)
            for style in inputs.styles
        )
        masks = None if inputs.masks is None else [mask_to_canvas(mask, scale.size) for mask in inputs.masks]
        return Objective(self._network, content, styles, options, masks, self._targets, self._plan.tile or None)

    # --- step by step ---------------------------------------------------------------------------------------

    def _step(self, state: State, objective: Objective) -> Step:
        started = time.perf_counter()
        losses, gradient = self._evaluate(state, objective)
        state.advance(losses, gradient, clip=self._options.clip)
        farthest = np.abs(state.optimizer.parameter).max()
        if not farthest <= BLOW_UP * 255:
            self._step_back(state, f"pixels reached {farthest:.4g}")
        seconds = time.perf_counter() - started
        record = LossRecord(state.scale.long_side, state.step, losses.total, losses.content, losses.style, seconds)
        self.losses.append(record)
        return Step(
            **record._asdict(),
            steps=state.scale.steps,
            image=lambda: to_uint8(self.picture_at(state.scale.size)),
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
        # Clipped pixels cannot run away, though a loss that begins near zero may grow a thousandfold. L-BFGS may try a
        # step that is far too long; its line search then shortens it.
        safe = self._options.clip or isinstance(state.optimizer, LBFGS)
        return safe or state.step == 0 or loss <= BLOW_UP * self.losses[-1].loss

    def _step_back(self, state: State, reason: str) -> None:
        options = self._options
        reason = f"{reason} at {state.scale.long_side} px after step {state.step}"
        learning_rate = LEARNING_RATE_CUT * state.optimizer.learning_rate
        if state.step == 0 or learning_rate < 0.99 * LEARNING_RATE_CUT**MOST_CUTS * options.learning_rate:
            raise FloatingPointError(f"{reason}; try a learning_rate below {options.learning_rate:g}")
        self._log(f"{reason}: a step back, and on with a learning_rate of {learning_rate:g}")
        canvas = state.average.value if state.sound is None else state.sound
        state.optimizer = optimizer_of(options, canvas, learning_rate)
        state.average = self._average(state.scale, canvas)
