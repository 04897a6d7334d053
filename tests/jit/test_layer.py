"""Which threading layer is started."""

import importlib.metadata

import pytest

from .helpers import run


def test_the_tbb_wheel_is_found():
    try:
        importlib.metadata.version("tbb")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("no wheel of TBB here")
    assert run("check()").stdout.split() == ["tbb"]
