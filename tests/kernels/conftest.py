"""Work that is cut into shares."""

import pytest

from fastconv.jit import threads as running


@pytest.fixture(params=[1, 2, 3])
def threads(request, monkeypatch):
    """Cut all work, however little, into so many shares, done one after the other.

    The last one comes first: what a share writes into another's part, or expects of one before it, shows.
    """

    def run(share, parallel, zero, address, count):
        for t in reversed(range(count)):
            share(t, count, zero, address)

    monkeypatch.setattr(running, "SERIAL_PRODUCTS", 0)
    monkeypatch.setattr(running, "SERIAL_ELEMENTS", 0)
    monkeypatch.setattr(running, "_num_threads", request.param)
    monkeypatch.setattr(running, "run", run)
    return request.param
