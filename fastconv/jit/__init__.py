"""How every kernel is compiled, cached and run on threads: the one place for these policies.

A file each: what the code is compiled for (`target`), how (`compilation`), where compiled code is kept (`cache`), how
numbers and addresses reach it (`records`), on how many threads it runs (`threads`), how those are started (`layer`),
what a fork waits for and leaves free (`forks`), and all of that in words (`description`).
"""

from .cache import cache_dir, cache_is_cold
from .compilation import Kernel, inline, kernel, unfold
from .description import describe
from .forks import RenewedLock
from .records import Record, address_of
from .target import LINE, has_fma, lanes, target, vector_bytes
from .threads import get_num_threads, set_num_threads, threading_layer, threads_for

__all__ = [
    "LINE",
    "Kernel",
    "Record",
    "RenewedLock",
    "address_of",
    "cache_dir",
    "cache_is_cold",
    "describe",
    "get_num_threads",
    "has_fma",
    "inline",
    "kernel",
    "lanes",
    "set_num_threads",
    "target",
    "threading_layer",
    "threads_for",
    "unfold",
    "vector_bytes",
]
