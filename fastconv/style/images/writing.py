"""Writing picture files, whole or not at all, in sRGB, with the settings that made the picture."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from fastconv.files import replacing
from fastconv.style.files import OutputError, check_writable
from fastconv.style.images.formats import check_bits, format_of
from fastconv.style.images.picture import ImageWarning

ICC_DATE = slice(24, 36)  # year, month, day, hour, minute and second in a profile's header


def check_output(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    shape: tuple[int, int] | None = None,
    bits: int = 8,
) -> Path:
    """Make sure, before any work is done, that its result can be saved.

    Parameters
    ----------
    path : path
        Where the picture is to go; the extension names the format.
    overwrite : bool
        Whether a file that is there may be replaced.
    shape : (int, int), optional
        Height and width of the result, where they are known: not every format takes large pictures.
    bits : {8, 16}
        Bits a channel; 16 for PNG and TIFF only.

    Returns
    -------
    Path
        `path`, for `save`.

    Raises
    ------
    OutputError
        If the extension is unknown, the folder is missing or cannot be written to, the file exists, or the
        format has no pictures of that size or of so many bits.
    """
    path = check_writable(path, overwrite=overwrite)  # first, since what is a folder has no format
    kind = format_of(path)
    check_bits(path, bits)
    if shape is not None and kind.longest_side is not None and max(shape) > kind.longest_side:
        raise OutputError(
            f"{path}: {kind.name} holds at most {kind.longest_side} pixels a side; the result has {max(shape)}"
        )
    return path


def save(
    path: str | os.PathLike[str],
    rgb: np.ndarray,
    *,
    alpha: np.ndarray | None = None,
    metadata: Mapping[str, str] | None = None,
    bits: int = 8,
) -> None:
    """Write a picture with an sRGB profile, all of it or nothing.

    PNG, JPEG (quality 95, full colour resolution), WebP (quality 95) or TIFF (lossless), by the extension.
    A file of that name is replaced only when the new one is complete.

    Parameters
    ----------
    path : path
        Where to.
    rgb : ndarray, shape (H, W, 3)
        sRGB values from 0 to 255, uint8 or floating point; what lies outside is clipped.
    alpha : ndarray, shape (H, W), optional
        Opacity from 0 to 1. JPEG has none: it is dropped.
    metadata : mapping of str to str, optional
        Stored as text fields of a PNG; as one JSON object in the image description of the others.
    bits : {8, 16}
        Bits a channel; 16 for PNG and TIFF only.

    Raises
    ------
    OutputError
        If the extension is unknown, the format does not have `bits`, or the file cannot be written.
    ValueError
        If an array has a wrong shape or `rgb` holds NaN.

    Warns
    -----
    ImageWarning
        If `alpha` is dropped.
    """
    path = Path(path)
    kind = format_of(path)
    check_bits(path, bits)
    _check_result(rgb, alpha)
    if alpha is not None and not kind.transparent:
        warnings.warn(f"{path}: {kind.name} has no transparency; it is dropped", ImageWarning, stacklevel=2)
        alpha = None
    pixels, texts, profile = _quantise(rgb, alpha, bits), dict(metadata or {}), _srgb_profile()
    try:
        with replacing(path) as file:
            if bits == 16:
                assert kind.write_16_bits is not None  # as was checked
                kind.write_16_bits(file, pixels, texts, profile)
            else:
                options = {**kind.quality, **kind.with_texts(texts)}
                Image.fromarray(pixels).save(file, kind.name, icc_profile=profile, **options)
    except (OSError, ValueError) as error:  # Pillow raises ValueError for what a format cannot hold
        raise OutputError(f"{path} cannot be written: {error}") from error


def _check_result(rgb: np.ndarray, alpha: np.ndarray | None) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"rgb has shape {rgb.shape}; expected (H, W, 3), not empty")
    if np.isnan(rgb).any():
        raise ValueError("rgb holds NaN; expected values from 0 to 255")
    if alpha is not None and alpha.shape != rgb.shape[:2]:
        raise ValueError(f"alpha has shape {alpha.shape}; expected {rgb.shape[:2]}, as rgb")


def _quantise(rgb: np.ndarray, alpha: np.ndarray | None, bits: int) -> np.ndarray:
    """Round to unsigned integers of 8 or 16 bits, with alpha as a fourth channel."""
    largest = 2**bits - 1
    values = np.clip(rgb, 0, 255).astype(np.float32)
    values *= largest / 255
    if alpha is not None:
        values = np.dstack([values, np.clip(alpha, 0, 1) * largest])
    return np.rint(values, out=values).astype(np.uint8 if bits == 8 else np.uint16)


def _srgb_profile() -> bytes:
    """Return an sRGB profile without the time of its making, so that the same picture makes the same file."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[ICC_DATE] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)
