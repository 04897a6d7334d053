"""The film of a run: frames of the picture on its way, kept as JPEG files in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastconv.style.images import size_to_fit
from fastconv.style.transfer import Step

MOST_FRAMES = 120
FRAME_SIDE = 720  # pixels of the long side; a film of all frames takes some 10 MB in memory
FRAME_QUALITY = 92  # of JPEG


@dataclass(frozen=True)
class Frame:
    """The picture after `number` steps, the `step`-th at `scale`, as a JPEG file."""

    number: int
    scale: int
    step: int
    jpeg: bytes

    def image(self) -> Image.Image:
        """Return the picture."""
        return Image.open(BytesIO(self.jpeg))


class Film:
    """The frames of a run: steps at even distances, and the last one.

    Parameters
    ----------
    steps : int
        Steps of the whole run.
    frames : sequence of Frame
        What has been taken before, if the run goes on.
    """

    def __init__(self, steps: int, frames: Sequence[Frame] = ()) -> None:
        self._steps = steps
        self._every = math.ceil(steps / MOST_FRAMES)
        self.frames = list(frames)

    def update(self, number: int, step: Step) -> None:
        """Take a frame, if it is time, after `number` steps of the run."""
        if number % self._every == 0 or number in (1, self._steps):
            self.frames.append(Frame(number, step.scale, step.step, _to_jpeg(step.image())))


def _to_jpeg(image: NDArray[np.uint8]) -> bytes:
    return to_jpeg(Image.fromarray(image), FRAME_SIDE, FRAME_QUALITY)


def to_jpeg(image: Image.Image, long_side: int, quality: int) -> bytes:
    """Return a picture, made smaller if its long side is above so many pixels, as a JPEG file."""
    height, width = size_to_fit((image.height, image.width), long_side)
    file = BytesIO()
    image.resize((width, height), Image.Resampling.LANCZOS).save(file, "JPEG", quality=quality, subsampling="4:4:4")
    return file.getvalue()
