"""Work that is cut into shares."""

import numpy as np
import pytest

from fastconv.jit import threads as running

from .copies import AROUND, UNTOUCHED, placed


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


@pytest.fixture
def check_copy(monkeypatch):
    """Return a function that runs all shares of a call in both orders.

    None may write what is another's, or what is around the output.
    """

    def check(call, expected):
        for order in ((0, 1, 2), (2, 1, 0)):

            def run(share, parallel, zero, address, threads, order=order):
                assert threads == len(order)
                for t in order:
                    share(t, threads, zero, address)

            monkeypatch.setattr(running, "run", run)
            out = placed(np.full(expected.shape, UNTOUCHED, expected.dtype))
            call(out, len(order))
            np.testing.assert_array_equal(out, expected)
            around = out.base
            assert np.all(around[:AROUND] == UNTOUCHED)
            assert np.all(around[AROUND + out.size :] == UNTOUCHED)

    return check
