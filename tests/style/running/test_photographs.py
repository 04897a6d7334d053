"""The results that photographs become."""

from pathlib import Path

import pytest

from fastconv.style.running.photographs import output_name


@pytest.mark.parametrize(
    ("name", "result"), [("a.png", "a.png"), ("b.JPG", "b.JPG"), ("c.gif", "c.gif.png"), ("d.e.tif", "d.e.tif")]
)
def test_names_are_kept(name, result):
    assert output_name(Path("in") / name) == result
