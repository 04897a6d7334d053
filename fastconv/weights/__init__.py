"""Where pretrained VGG-19 weights come from: `load` finds, checks, converts and, if need be, fetches them."""

from .errors import MissingWeightsError, WeightsError, WrongFileError
from .model import VGGWeights
from .registry import DEFAULT, SOURCES, Source
from .search import Found, cache_dir, convert, download, find, load, load_file

__all__ = [
    "DEFAULT",
    "SOURCES",
    "Found",
    "MissingWeightsError",
    "Source",
    "VGGWeights",
    "WeightsError",
    "WrongFileError",
    "cache_dir",
    "convert",
    "download",
    "find",
    "load",
    "load_file",
]
