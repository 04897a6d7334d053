"""Neural style transfer: a photograph repainted in the manner of paintings."""

from fastconv.style.algorithm.options import OptionError, Options
from fastconv.style.files import OutputError
from fastconv.style.images import ImageError, Picture
from fastconv.style.transfer import MemoryLimitError, Result, Step, Transfer, iterate, stylize

__all__ = [
    "ImageError",
    "MemoryLimitError",
    "OptionError",
    "Options",
    "OutputError",
    "Picture",
    "Result",
    "Step",
    "Transfer",
    "iterate",
    "stylize",
]
