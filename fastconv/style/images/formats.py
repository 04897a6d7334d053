"""The formats in which pictures are written: what there is to know of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fastconv.style.files import OutputError

EXIF_IMAGE_DESCRIPTION = 0x010E


def _in_exif(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the argument for Pillow that stores texts as one JSON object in the image description."""
    if not metadata:
        return {}
    exif = Image.Exif()
    exif[EXIF_IMAGE_DESCRIPTION] = json.dumps(metadata)  # which is ASCII, as EXIF demands
    return {"exif": exif}


def _in_text_fields(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the argument for Pillow that stores each text in a field of its own."""
    text = PngInfo()
    for key, value in metadata.items():
        text.add_text(key, value)
    return {"pnginfo": text}


def _write_png16(file: BinaryIO, pixels: np.ndarray, metadata: Mapping[str, str], profile: bytes) -> None:
    import numpngw

    numpngw.write_png(file, pixels, text_list=list(metadata.items()), iccp=("sRGB", profile), filter_type="heuristic")


def _write_tiff16(file: BinaryIO, pixels: np.ndarray, metadata: Mapping[str, str], profile: bytes) -> None:
    import tifffile

    tifffile.imwrite(
        file,
        pixels,
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else [],
        compression="zlib",
        iccprofile=profile,
        description=json.dumps(metadata) if metadata else None,
        metadata=None,
    )


class Format(NamedTuple):
    """A picture format."""

    name: str
    """Pillow's."""
    suffixes: tuple[str, ...]
    """Extensions of its files, in small letters; the first is the usual one."""
    quality: Mapping[str, Any] = {}
    """Arguments for Pillow: the best quality there is use for."""
    with_texts: Callable[[Mapping[str, str]], dict[str, Any]] = _in_exif
    """Given texts, returns the arguments for Pillow that store them."""
    longest_side: int | None = None
    """Most pixels a side, if there is a limit."""
    transparent: bool = True
    """Whether it holds an alpha channel."""
    write_16_bits: Callable[[BinaryIO, np.ndarray, Mapping[str, str], bytes], None] | None = None
    """Given a file, pixels, texts and a colour profile, writes 16 bits a channel, which Pillow can't; None without."""


_FORMATS = (
    Format("PNG", (".png",), with_texts=_in_text_fields, write_16_bits=_write_png16),
    Format(
        "JPEG",
        (".jpg", ".jpeg"),
        quality={"quality": 95, "subsampling": "4:4:4"},
        longest_side=65_500,  # libjpeg's
        transparent=False,
    ),
    Format(
        "WEBP",
        (".webp",),
        quality={"quality": 95, "method": 6},
        longest_side=16_383,  # the container's
    ),
    Format("TIFF", (".tif", ".tiff"), quality={"compression": "tiff_adobe_deflate"}, write_16_bits=_write_tiff16),
)

FORMATS = {suffix: each for each in _FORMATS for suffix in each.suffixes}
"""The formats by the extensions of their files."""


def format_of(path: Path) -> Format:
    """Return the format that a file's extension names.

    Raises
    ------
    OutputError
        If it names none.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise OutputError(f"{path} has the extension {path.suffix or '(none)'}; expected one of {', '.join(FORMATS)}")
    return found


def check_bits(path: Path, bits: int) -> None:
    """Raise an OutputError if the format that a file's extension names has not so many bits a channel."""
    if bits != 8 and not (bits == 16 and format_of(path).write_16_bits):
        able = " and ".join(each.name for each in _FORMATS if each.write_16_bits)
        raise OutputError(f"{path}: expected 8 bits a channel, or 16 for {able}, got {bits}")
