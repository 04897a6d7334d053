"""The pictures of the demo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastconv.style.demo.painting import paint
from fastconv.style.demo.photograph import demo_photograph
from fastconv.style.images import Picture, load

DEMO_SIZE = 384  # pixels


def demo_pictures() -> tuple[Path, Picture]:
    """Return a photograph, which comes with scikit-image, and a painting made on the spot."""
    painting = load(paint(DEMO_SIZE * 3 // 4, DEMO_SIZE))
    return demo_photograph(), replace(painting, name="the demo's painting")
