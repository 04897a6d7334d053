"""Neural style transfer: a photograph repainted until VGG-19 sees a painting's textures in it.

The method is Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style", arXiv:1508.06576: the pixels
are optimised so that deep features stay those of the content picture, while the correlations of features at
several depths become those of the style picture. The optimisation runs from coarse to fine, so that a style's
large forms are laid out while the picture is small and steps are cheap.
"""

from __future__ import annotations

import copy
import os
import platform
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numba
import numpy as np

import fastconv
from fastconv.geometry import Array
from fastconv.log import Log
from fastconv.style.algorithm.canvas import to_uint8
from fastconv.style.algorithm.options import Options
from fastconv.style.algorithm.presets import options_of
from fastconv.style.algorithm.scales import Scale
from fastconv.style.algorithm.targets import KnownTargets
from fastconv.style.images import PictureLike
from fastconv.style.transfer.descent import Descent
from fastconv.style.transfer.inputs import Inputs, load_inputs
from fastconv.style.transfer.network import load_network
from fastconv.style.transfer.plan import Plan, plan_for
from fastconv.style.transfer.results import LossRecord, Result, Step
from fastconv.style.transfer.snapshot import Snapshot
from fastconv.weights import VGGWeights


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
    inputs : Inputs
        The options, and the pictures as they were loaded.
    plan : Plan
        The scales the run goes through, its tiles, and what it takes.
    network : Network
        VGG-19, and which weights are in it.
    settings : dict
        As in `Result`.

    Raises
    ------
    OptionError, ImageError
        If an option has no meaning or a picture cannot be read.
    fastconv.style.MemoryLimitError
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
        weights: str | os.PathLike[str] | VGGWeights | None = None,
        offline: bool = False,
        log: Log | None = None,
        preset: str = "fast",
        **options: Any,
    ) -> None:
        inputs = load_inputs(content, styles, options_of(preset, options))
        plan = plan_for(inputs)  # first, since nobody wants a download for what does not fit into memory
        self.network = load_network(weights, inputs.options, offline=offline, log=log)
        self._preset = preset
        self._log = log or _warn
        self._targets: KnownTargets = {}
        self._begin(inputs, plan)

    def for_content(self, content: PictureLike) -> Transfer:
        """Return a transfer of another photograph, with all the rest as it is here.

        The network, and what is computed of the style pictures, serve both: run one after the other.
        """
        other = copy.copy(self)
        if self.options.preserve_colors == "match":
            other._targets = {}  # the styles get the colours of another photograph
        inputs = self.inputs.with_content(content)
        other._begin(inputs, plan_for(inputs))
        return other

    def _begin(self, inputs: Inputs, plan: Plan) -> None:
        self.inputs = inputs
        self.plan = plan
        self._descent = Descent(inputs, plan, self.network.vgg, self._targets, self._log)
        self.settings = self._describe()

    def _describe(self) -> dict[str, Any]:
        return {
            "preset": self._preset,
            **self.inputs.describe_options(),
            "content": self.inputs.content.describe(),
            **self.plan.describe(),
            "styles": [style.describe() for style in self.inputs.styles],
            "weights": self.network.describe(),
            "threads": fastconv.get_num_threads(),
            "versions": {
                "fastconv": fastconv.__version__,
                "numba": numba.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }

    @property
    def options(self) -> Options:
        """The options, of the preset where they were not given."""
        return self.inputs.options

    @property
    def losses(self) -> list[LossRecord]:
        """Those of the steps that are done."""
        return self._descent.losses

    @property
    def has_begun(self) -> bool:
        """Whether there is a picture."""
        return self._descent.has_begun

    @property
    def scales_left(self) -> tuple[Scale, ...]:
        """The scales still to be run through, with the steps that are left at each."""
        return self._descent.scales_left

    @property
    def steps_in_all(self) -> int:
        """Number of steps from the beginning to the end of the run, wherever it stands."""
        return len(self.losses) + sum(scale.steps for scale in self.scales_left)

    def __iter__(self) -> Iterator[Step]:
        return iter(self._descent)

    def snapshot(self) -> Snapshot | None:
        """Return all that the run has come to.

        Returns
        -------
        Snapshot or None
            Its arrays are those of the run, and change with the next step: copy what is needed for longer. None
            before the first step, and while L-BFGS is in the middle of a search, whose memory is SciPy's; a search
            begins at each scale and every hundred steps.
        """
        return self._descent.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from where another run of the same inputs and options stood.

        The steps that follow are, bit for bit, those that would have followed there.

        Parameters
        ----------
        snapshot : Snapshot
            Of `snapshot()`. Its arrays become the run's own, and are written to. The number of steps a scale may be
            another one now.

        Raises
        ------
        ValueError
            If it stands at a scale that this run does not have.
        """
        self._descent.restore(snapshot)

    def canvas(self) -> Array:
        """Return what is optimised, shape (1, 3, H, W), to be read only: the next step takes its loss.

        It is the picture without the running average, its last rows and columns repeated up to multiples of 16.

        Raises
        ------
        RuntimeError
            Before the first step.
        """
        return self._descent.state.optimizer.parameter

    def picture(self) -> Array:
        """Return the picture as it is, unrounded, shape (H, W, 3), at the scale that was reached.

        Raises
        ------
        RuntimeError
            Before the first step.
        """
        return self._descent.picture()

    def result(self) -> Result:
        """Return the picture at its final size, however far the run has come.

        Raises
        ------
        RuntimeError
            Before the first step.
        """
        size = self.plan.output_size
        rgb = self._descent.picture_at(size)
        alpha = self.inputs.content.resized(size).alpha
        return Result(to_uint8(rgb), list(self.losses), self.settings, np.clip(rgb, 0, 255), alpha)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)
