"""Large photographs."""

import pytest

from fastconv.style.images import load


@pytest.fixture(scope="module")
def photographs(shared_data):
    names = "coffee.png", "starry_night_google.jpg"
    return [load(shared_data / "images" / name).resized((1024, 1024)).rgb for name in names]
