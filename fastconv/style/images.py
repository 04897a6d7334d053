"""Picture files to arrays and back: whatever a camera or a paint program wrote, as sRGB from 0 to 255."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from fastconv.files import replacing
from fastconv.style.files import OutputError, check_writable, is_folder

__all__ = [
    "ImageError",
    "ImageWarning",
    "OutputError",
    "Picture",
    "PictureLike",
    "check_output",
    "demo_photograph",
    "has_transparency",
    "load",
    "name_of",
    "resize",
    "save",
    "size_to_fit",
]

MAX_PIXELS = 400_000_000  # a larger header is a mistake or an attack: as float32 it would take 5 GB

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # limits of libjpeg and of the WebP container

EXIF_IMAGE_DESCRIPTION = 0x010E
ICC_DATE = slice(24, 36)  # year, month, day, hour, minute and second in a profile's header
SIXTEEN_TO_EIGHT_BITS = 257.0  # 65535 / 255

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}


class ImageError(ValueError):
    """A picture that cannot be read, or an array that is no picture."""


class ImageWarning(UserWarning):
    """Something in a picture was ignored or dropped."""


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    Attributes
    ----------
    rgb : ndarray, shape (H, W, 3), float32
        sRGB values from 0 to 255; where the picture is transparent, on white.
    alpha : ndarray, shape (H, W), float32, or None
        Opacity from 0 to 1; None for an opaque picture.
    name : str or None
        What the settings of a result call it.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    name: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]

    def resized(self, size: tuple[int, int]) -> Picture:
        """Return the picture at (height, width), clipped to its range where the filter overshoots."""
        alpha = None if self.alpha is None else np.clip(resize(self.alpha, size), 0, 1)
        return Picture(np.clip(resize(self.rgb, size), 0, 255), alpha)


PictureLike: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray | Picture"


# --- reading ----------------------------------------------------------------------------------------------


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
            return _from_pillow(image, str(path))
    raise TypeError(f"{name} is of type {type(source).__name__}; expected a path, a PIL image or an (H, W, 3) array")


def name_of(source: PictureLike) -> str:
    """Return what the settings of a result call a picture: a file's name, without the folder, which is private."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).name
    if isinstance(source, Picture) and source.name is not None:
        return source.name
    height, width = source.size if isinstance(source, Picture) else np.asarray(source).shape[:2]
    return f"a picture of {width}x{height} px"


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


def demo_photograph() -> Path:
    """Find the photograph of the demo: a cup of coffee, 600x400, by Rachel Michetti (CC0).

    It comes in the wheel of scikit-image, which is not imported for it.

    Raises
    ------
    ModuleNotFoundError
        If scikit-image is not installed.
    ImageError
        If it is, without the photograph.
    """
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "the demo's photograph comes with scikit-image; install it: pip install 'fastconv[demo]'",
            name="skimage",
        )
    path = Path(package.submodule_search_locations[0]) / "data" / "coffee.png"
    if not path.is_file():
        raise ImageError(f"{path} is missing; install scikit-image again: pip install --force-reinstall scikit-image")
    return path


# --- sizes ------------------------------------------------------------------------------------------------


def size_to_fit(shape: tuple[int, int], size: int, *, enlarge: bool = False) -> tuple[int, int]:
    """Say at which size a picture of a given shape is to be used, its proportions kept.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the picture.
    size : int
        The long side in pixels, at least 1.
    enlarge : bool
        Whether a long side may be made longer than it is.

    Returns
    -------
    (int, int)
        Height and width.
    """
    if size < 1:
        raise ValueError(f"size is {size}; expected a number of pixels, at least 1")
    long_side = max(shape)
    if size >= long_side and not enlarge:
        return shape
    height, width = (max(1, round(side * size / long_side)) for side in shape)
    return height, width


def resize(array: np.ndarray, size: tuple[int, int], *, method: str = "lanczos") -> np.ndarray:
    """Resample an array in floating point, never rounded to 8 bits.

    Parameters
    ----------
    array : ndarray, shape (H, W) or (H, W, channels)
        Any real dtype.
    size : (int, int)
        New height and width.
    method : {"lanczos", "bicubic", "bilinear", "area"}
        The filter. The first two overshoot at edges; the last two keep the range. All of them average over
        the pixels that fall together when the picture becomes smaller.

    Returns
    -------
    ndarray, shape `size` or `size` + (channels,), float32
        A new array.
    """
    if method not in FILTERS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(FILTERS)}")
    height, width = size
    if array.shape[:2] == (height, width):
        return array.astype(np.float32)
    if array.ndim == 3:
        planes = [resize(array[..., channel], size, method=method) for channel in range(array.shape[2])]
        return np.stack(planes, axis=-1)
    plane = Image.fromarray(array.astype(np.float32))
    return np.array(plane.resize((width, height), FILTERS[method]))


# --- writing ----------------------------------------------------------------------------------------------


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
    kind = _format_of(path)
    _check_bits(path, bits)
    if shape is not None and max(shape) > LONGEST_SIDE.get(kind, max(shape)):
        raise OutputError(
            f"{path}: {kind} holds at most {LONGEST_SIDE[kind]} pixels a side; the result has {max(shape)}"
        )
    return path


def _format_of(path: Path) -> str:
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path} has the extension {path.suffix or '(none)'}; expected one of {', '.join(FORMATS)}")
    return kind


def has_transparency(path: Path) -> bool:
    """Tell whether a picture file of that name holds an alpha channel."""
    return _format_of(path) != "JPEG"


def _check_bits(path: Path, bits: int) -> None:
    if bits != 8 and (bits, _format_of(path)) not in ((16, "PNG"), (16, "TIFF")):
        raise OutputError(f"{path}: expected 8 bits a channel, or 16 for PNG and TIFF, got {bits}")


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
    kind = _format_of(path)
    _check_bits(path, bits)
    _check_result(rgb, alpha)
    if alpha is not None and not has_transparency(path):
        warnings.warn(f"{path}: JPEG has no transparency; it is dropped", ImageWarning, stacklevel=2)
        alpha = None
    pixels = _quantise(rgb, alpha, bits)
    try:
        with replacing(path) as file:
            if bits == 16:
                write = {"PNG": _write_png16, "TIFF": _write_tiff16}[kind]
                write(file, pixels, dict(metadata or {}))
            else:
                options = _pillow_options(kind, dict(metadata or {}))
                Image.fromarray(pixels).save(file, kind, icc_profile=_srgb_profile(), **options)
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


def _pillow_options(kind: str, metadata: dict[str, str]) -> dict[str, Any]:
    """Pillow's arguments for each format: best quality, and where its text goes."""
    if kind == "PNG":
        text = PngInfo()
        for key, value in metadata.items():
            text.add_text(key, value)
        return {"pnginfo": text}
    exif = Image.Exif()
    exif[EXIF_IMAGE_DESCRIPTION] = json.dumps(metadata)  # which is ASCII, as EXIF demands
    quality: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": "4:4:4"},
        "WEBP": {"quality": 95, "method": 6},
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    return {**quality[kind], "exif": exif} if metadata else quality[kind]


# Pillow writes no colour of 16 bits.


def _write_png16(file: BinaryIO, pixels: np.ndarray, metadata: dict[str, str]) -> None:
    import numpngw

    numpngw.write_png(
        file,
        pixels,
        text_list=list(metadata.items()),
        iccp=("sRGB", _srgb_profile()),
        filter_type="heuristic",
    )


def _write_tiff16(file: BinaryIO, pixels: np.ndarray, metadata: dict[str, str]) -> None:
    import tifffile

    tifffile.imwrite(
        file,
        pixels,
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else [],
        compression="zlib",
        iccprofile=_srgb_profile(),
        description=json.dumps(metadata) if metadata else None,
        metadata=None,
    )


def _srgb_profile() -> bytes:
    """Return an sRGB profile without the time of its making, so that the same picture makes the same file."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[ICC_DATE] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)
