"""The report of a run: one page that needs nothing else, neither files beside it nor a network."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from statistics import median
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastconv.style import files
from fastconv.style.report.chart import loss_chart
from fastconv.style.report.film import Frame, to_jpeg
from fastconv.style.transfer import LossRecord, Result
from fastconv.style.wording import format_seconds

PICTURE_SIDE = 1200  # pixels of the long side of the pictures that are compared
FRAME_SIDE = 360
MOST_FRAMES = 12
QUALITY = 88  # of JPEG


def write_report(path: Path, content: NDArray[Any], result: Result, frames: Sequence[Frame]) -> None:
    """Write the report of a run as an HTML page.

    Parameters
    ----------
    path : path
        Where to.
    content : ndarray, shape (H, W, 3)
        The photograph at the size of the result, from 0 to 255.
    result : Result
        What came out.
    frames : sequence of Frame
        The picture on its way.

    Raises
    ------
    OutputError
        If the file can't be written.
    """
    height, width = result.image.shape[:2]
    names = ", ".join(style["name"] for style in result.settings["styles"])
    seconds = sum(record.seconds for record in result.losses)
    page = Template(resources.files("fastconv.style.report").joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(f"{result.settings['content']['name']} in the manner of {names}"),
        lead=escape(f"{width}x{height} px, {len(result.losses)} steps in {format_seconds(seconds)}"),
        width=width,
        before=_embed(np.rint(content).astype(np.uint8)),
        after=_embed(result.image),
        frames="\n".join(map(_figure, pick(frames, MOST_FRAMES))),
        chart=loss_chart(result.losses),
        timing=_timing(result.losses),
        settings=_settings(result.settings),
    )
    files.write(path, page.encode("utf-8"))


def _embed(image: NDArray[np.uint8]) -> str:
    return _data_url(to_jpeg(Image.fromarray(image), PICTURE_SIDE, QUALITY))


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def pick(frames: Sequence[Frame], most: int) -> list[Frame]:
    """Choose at most so many frames at even distances, the first and the last among them."""
    indices = np.linspace(0, len(frames) - 1, min(most, len(frames)))
    return [frames[round(index)] for index in indices]


def _figure(frame: Frame) -> str:
    caption = f"{frame.scale} px, step {frame.step} ({frame.number} in all)"
    source = _data_url(to_jpeg(frame.image(), FRAME_SIDE, QUALITY))
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


# --- tables -------------------------------------------------------------------------------------------------


def _timing(losses: Sequence[LossRecord]) -> str:
    rows = []
    for scale, group in itertools.groupby(losses, key=lambda record: record.scale):
        seconds = [record.seconds for record in group]
        rows.append((f"{scale} px", len(seconds), f"{median(seconds):.3f} s", format_seconds(sum(seconds))))
    total = sum(record.seconds for record in losses)
    rows.append(("in all", len(losses), "", format_seconds(total)))
    head = "".join(f'<th class="number">{name}</th>' for name in ("steps", "a step (median)", "time"))
    body = "\n".join(
        f"<tr><th>{name}</th>" + "".join(f'<td class="number">{value}</td>' for value in values) + "</tr>"
        for name, *values in rows
    )
    return f"<table>\n<tr><th>long side</th>{head}</tr>\n{body}\n</table>"


def _settings(settings: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f"<tr><th>{escape(name)}</th><td>{escape(_in_words(value))}</td></tr>" for name, value in settings.items()
    )
    return f"<table>\n{rows}\n</table>"


def _in_words(value: Any) -> str:
    """Write a setting without JSON's quotes and brackets."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(part, Mapping) for part in value) else ", "
        return separator.join(map(_in_words, value))
    return str(value)
