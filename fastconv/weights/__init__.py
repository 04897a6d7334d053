"""Where pretrained VGG-19 weights come from: `load` finds, checks, converts and, if need be, fetches them."""

from .cache import cache_dir
from .conversion import convert
from .downloading import download
from .errors import MissingWeightsError, WeightsError, WrongFileError
from .loading import load
from .model import VGGWeights
from .reading import load_file
from .registry import DEFAULT, SOURCES, Source
from .search import Found, find

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
