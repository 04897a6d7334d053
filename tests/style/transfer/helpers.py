"""A large transfer, and what it is said to need."""

from fastconv.style import Options
from fastconv.style.transfer import memory

GB = 1_000_000_000
LARGE = (3000, 4000)
STYLES = [(1000, 1300)]


def need(size=LARGE, tile=0, styles=STYLES, **options):
    return memory.estimate(size, styles, Options(**options), tile or None)
