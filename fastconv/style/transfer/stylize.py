"""A transfer in one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastconv.log import Log
from fastconv.style.algorithm.options import with_options
from fastconv.style.images import PictureLike
from fastconv.style.transfer.results import Result, Step
from fastconv.style.transfer.transfer import Transfer
from fastconv.weights import VGGWeights


@with_options
def iterate(
    content: PictureLike,
    styles: PictureLike | Sequence[PictureLike],
    *,
    weights: str | os.PathLike[str] | VGGWeights | None = None,
    offline: bool = False,
    log: Log | None = None,
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
    weights: str | os.PathLike[str] | VGGWeights | None = None,
    offline: bool = False,
    log: Log | None = None,
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
    fastconv.style.MemoryLimitError
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
