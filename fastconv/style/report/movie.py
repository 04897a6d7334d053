"""Writing a film as a file: GIF or MP4."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastconv.programs import find_program
from fastconv.style import files
from fastconv.style.files import OutputError, check_writable
from fastconv.style.images import size_to_fit
from fastconv.style.report.film import FRAME_SIDE, Frame

FRAMES_PER_SECOND = 15
LAST_FRAME_SECONDS = 2.0
GIF_SIDE = 400  # GIF compresses hardly at all


def check_movie(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Make sure, before any work is done, that a film can be written.

    Raises
    ------
    OutputError
        If the extension is neither .gif nor .mp4, or the file can't be written.
    ModuleNotFoundError
        If what writes MP4 is not installed.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".gif", ".mp4"):
        raise OutputError(f"{path} has the extension {kind or '(none)'}; expected .gif or .mp4 for a film")
    if kind == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise ModuleNotFoundError(
            "MP4 films are written by imageio-ffmpeg; install it: pip install 'fastconv[movie]'", name="imageio_ffmpeg"
        )
    return check_writable(path, overwrite=overwrite)


def write_movie(path: Path, frames: Sequence[Frame]) -> None:
    """Write frames as a GIF or an MP4 film, by the extension, all of the size of the last one.

    Raises
    ------
    OutputError
        If the frames can't be encoded, or the file can't be written.
    """
    try:
        film = _encode(frames, is_gif=path.suffix.lower() == ".gif")
    except Exception as error:  # imageio, and ffmpeg behind it, raise nearly every type there is
        reason = (str(error) or type(error).__name__).splitlines()[0]  # ffmpeg's goes on with its whole command
        raise OutputError(f"{path} cannot be written: its frames could not be encoded: {reason}") from error
    files.write(path, film)


def _encode(frames: Sequence[Frame], *, is_gif: bool) -> bytes:
    last = frames[-1].image()
    height, width = size_to_fit((last.height, last.width), GIF_SIDE if is_gif else FRAME_SIDE)
    size = (width, height) if is_gif else (width // 2 * 2, height // 2 * 2)  # which H.264 demands
    shown = itertools.chain(frames, itertools.repeat(frames[-1], round(LAST_FRAME_SECONDS * FRAMES_PER_SECOND)))
    # One picture exists at a time: all of them may be as large as the rest of the run.
    pictures = (frame.image().resize(size, Image.Resampling.BICUBIC) for frame in shown)
    return _encode_gif(pictures) if is_gif else _encode_mp4(pictures)


def _encode_gif(pictures: Iterator[Image.Image]) -> bytes:
    file = BytesIO()
    first = next(pictures)
    # Not by imageio, which makes one array of all the pictures first.
    first.save(file, "GIF", save_all=True, append_images=pictures, duration=1000 / FRAMES_PER_SECOND, loop=0)
    return file.getvalue()


def _encode_mp4(pictures: Iterator[Image.Image]) -> bytes:
    import imageio.v3 as imageio

    arrays: Any = map(np.asarray, pictures)  # an iterator does, though imageio's annotations don't say so
    with _installed_ffmpeg():
        return imageio.imwrite(
            "<bytes>",
            arrays,
            is_batch=True,
            extension=".mp4",
            plugin="FFMPEG",
            fps=FRAMES_PER_SECOND,
            codec="libx264",
            quality=8,
            macro_block_size=2,
        )


@contextmanager
def _installed_ffmpeg() -> Iterator[None]:
    """Name an ffmpeg to imageio-ffmpeg, which may start one of the current folder where it comes without its own."""
    import imageio_ffmpeg

    variable = "IMAGEIO_FFMPEG_EXE"
    if os.environ.get(variable):  # the user's choice
        yield
        return
    own = Path(imageio_ffmpeg.__file__).parent.glob("binaries/ffmpeg-*")
    program = next(map(str, own), None) or find_program("ffmpeg")
    if program is None:
        raise FileNotFoundError("no ffmpeg is installed")
    os.environ[variable] = program
    try:
        yield
    finally:
        del os.environ[variable]
