"""Pictures: in memory, read from files and written to them, their colours and their masks."""

from fastconv.style.images.formats import FORMATS, format_of
from fastconv.style.images.picture import ImageError, ImageWarning, Picture, PictureLike, name_of
from fastconv.style.images.reading import load
from fastconv.style.images.sizes import Size, resize, size_to_fit
from fastconv.style.images.writing import check_output, save

__all__ = [
    "FORMATS",
    "ImageError",
    "ImageWarning",
    "Picture",
    "PictureLike",
    "Size",
    "check_output",
    "format_of",
    "load",
    "name_of",
    "resize",
    "save",
    "size_to_fit",
]
