"""Memory that kernels borrow: aligned, with room behind it, nobody else's meanwhile, and used again."""

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels import scratch

FLOAT = np.dtype(np.float32)


@pytest.fixture(autouse=True)
def nothing_idle():
    scratch._idle.clear()
    yield
    scratch._idle.clear()


def test_arrays_begin_with_a_line_and_have_room_for_a_vector_behind():
    shapes = [(3, 5), (0,), (2, 1, 17), (16,)]
    with scratch.borrow_arrays(FLOAT, *shapes) as arrays:
        places = [jit.address_of(array) for array in arrays]
        assert [array.shape for array in arrays] == shapes
        assert all(array.dtype == FLOAT and array.flags.c_contiguous for array in arrays)
        assert all(place % jit.LINE == 0 for place in places)
        ends = [place + array.nbytes + jit.vector_bytes() for place, array in zip(places, arrays, strict=True)]
        assert all(end <= following for end, following in zip(ends, places[1:], strict=False))
        (buffer,) = {id(array.base): array.base for array in arrays}.values()
        assert ends[-1] <= jit.address_of(buffer) + buffer.nbytes


def test_what_is_lent_is_nobody_elses_and_is_lent_again_later():
    with scratch.borrow_arrays(FLOAT, (100,)) as (first,), scratch.borrow_arrays(FLOAT, (100,)) as (second,):
        assert not np.may_share_memory(first, second)
        bases = {id(first.base), id(second.base)}
    with scratch.borrow_arrays(FLOAT, (100,)) as (third,), scratch.borrow(400) as place:
        assert id(third.base) in bases
        assert place % jit.LINE == 0
        assert not jit.address_of(third) <= place < jit.address_of(third) + third.nbytes
