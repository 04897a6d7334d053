"""Neural style transfer: a photograph repainted in the manner of paintings."""

from fastconv.style.images import ImageError, OutputError, Picture
from fastconv.style.memory import MemoryLimitError
from fastconv.style.options import OptionError, Options
from fastconv.style.transfer import Result, Step, Transfer, iterate, stylize

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
