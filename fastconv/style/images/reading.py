"""Reading pictures from files and arrays, whatever a camera or a paint program wrote, as sRGB from 0 to 255."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps

from fastconv.style.files import is_folder
from fastconv.style.images.picture import ImageError, ImageWarning, Picture, PictureLike

MAX_PIXELS = 400_000_000  # a larger header is a mistake or an attack: as float32 it would take 5 GB

SIXTEEN_TO_EIGHT_BITS = 257.0  # 65535 / 255


def load(source: PictureLike, *, name: str = "picture") -> Picture:
    """Read a picture from a file, a Pillow image or an array.

    Files and Pillow images are turned as their EXIF orientation says and converted to sRGB by their ICC
    profile. Of 16-bit colour Pillow keeps the upper byte; 16-bit grey is read in full. Of an animation the
    first frame is taken.

    Parameters
    ----------
    source : path, PIL.Image.Image, ndarray or Picture
        An array is (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGB with alpha: uint8, uint16 (0 to 65535), or
        floating point with values from 0 to 255. A `Picture` is returned as it is.
    name : str
        What error messages call a picture that has no file name.

    Returns
    -------
    Picture

    Raises
    ------
    ImageError
        If the file is missing, unreadable, truncated, larger than 400 megapixels or no picture, or the
        array has another shape, dtype or range.
    TypeError
        If `source` is none of the above.

    Warns
    -----
    ImageWarning
        If a broken colour profile is ignored.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    if isinstance(source, Image.Image):
        with _pillow_errors(name):
            return _from_pillow(source, name)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        _check_is_picture_file(path)
        with _pillow_errors(str(path)), Image.open(path) as image:
            if image.format == "EPS":  # is a program, and Pillow has Ghostscript run it
                raise ImageError(f"{path} is a PostScript picture; save it as PNG or JPEG first")
            return _from_pillow(image, str(path))
    raise TypeError(f"{name} is of type {type(source).__name__}; expected a path, a PIL image or an (H, W, 3) array")


def _from_array(array: np.ndarray, name: str) -> Picture:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or array.size == 0:
        raise ImageError(f"{name} has shape {array.shape}; expected (H, W), (H, W, 3) or (H, W, 4), not empty")
    if array.dtype.kind == "f":
        _check_range(array, name)
    elif array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{name} has dtype {array.dtype}; expected uint8, uint16, or floating point from 0 to 255")
    values = array.astype(np.float32)
    if array.dtype == np.uint16:
        values /= SIXTEEN_TO_EIGHT_BITS
    if values.ndim == 2:
        return Picture(_grey_to_rgb(values))
    return _on_white(values[..., :3], values[..., 3] / 255 if values.shape[2] == 4 else None)


def _check_range(array: np.ndarray, name: str) -> None:
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # so written, it refuses NaN too
        raise ImageError(f"{name} has values from {low:g} to {high:g}; expected finite ones from 0 to 255")
    if 0 < high <= 1:
        raise ImageError(
            f"{name} has values from {low:g} to {high:g}, all but black; expected 0 to 255: multiply by 255"
        )


def _check_is_picture_file(path: Path) -> None:
    """Name the mistakes that Pillow would report as something else."""
    try:
        with path.open("rb") as file:
            start = file.read(512).lstrip().lower()
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ImageError(f"{path} is a folder; expected a picture file") from None
    except OSError as error:
        if is_folder(path):  # Windows calls this a denied permission
            raise ImageError(f"{path} is a folder; expected a picture file") from None
        raise ImageError(f"{path} cannot be read: {error.strerror}") from error
    if not start:
        raise ImageError(f"{path} is empty; expected a picture file")
    if start.startswith((b"<!doctype html", b"<html")):
        raise ImageError(f"{path} is a web page, not a picture: the download went wrong")


@contextmanager
def _pillow_errors(name: str) -> Iterator[None]:
    """Silence Pillow's warnings, apply our own limit of size, and turn every failure into an ImageError."""
    pillow_limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns above it and refuses above its double
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    except (ImageError, ImageWarning, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has more than {MAX_PIXELS // 10**6} megapixels, too many to read") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture, or of a kind that Pillow cannot read") from None
    except Exception as error:  # decoders raise nearly every type there is when a file is damaged
        raise ImageError(f"{name} cannot be read; it may be damaged or cut short: {error}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = pillow_limit


def _from_pillow(image: Image.Image, name: str) -> Picture:
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(_undo_false_inversion(image))
    if image.mode == "F":
        return _from_array(np.asarray(image), name)
    if image.mode.startswith("I"):
        # "I" is 32 bits wide, but what Pillow opens so are 16-bit PNG and PGM files.
        grey = np.clip(np.asarray(image), 0, 65535).astype(np.float32) / np.float32(SIXTEEN_TO_EIGHT_BITS)
        if not profile:
            return Picture(_grey_to_rgb(grey))
        image = Image.fromarray(np.rint(grey).astype(np.uint8))  # colour management knows no 16-bit grey
    alpha = None
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"), dtype=np.float32) / 255
    if image.mode not in ("L", "CMYK", "LAB"):  # profiles come for these as they are, and for RGB
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    if profile:
        image = _to_srgb(image, profile, name)
    return _on_white(np.asarray(image.convert("RGB"), dtype=np.float32), alpha)


def _undo_false_inversion(image: Image.Image) -> Image.Image:
    """Pillow inverts every CMYK JPEG, as Adobe's need it: undo that where Adobe's mark is missing."""
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        return ImageChops.invert(image)
    return image


def _to_srgb(image: Image.Image, profile: bytes, name: str) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
        return transform.apply(image)
    except (ImageCms.PyCMSError, OSError, ImportError) as error:
        warnings.warn(f"{name}: its colour profile is ignored: {error}", ImageWarning, stacklevel=4)
        return image


def _on_white(rgb: np.ndarray, alpha: np.ndarray | None) -> Picture:
    """Composite on white; an alpha channel that is opaque everywhere is dropped."""
    if alpha is None or alpha.min() == 1:
        return Picture(np.ascontiguousarray(rgb))
    opacity = alpha[..., np.newaxis]
    return Picture(rgb * opacity + 255 * (1 - opacity), np.ascontiguousarray(alpha))


def _grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., np.newaxis], 3, axis=2)
