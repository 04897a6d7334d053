"""Records: named numbers that Python sets and compiled code reads."""

from typing import Annotated

import numpy as np
import pytest

from fastconv import jit
from fastconv.jit.records import Bytes, Elements, Words, fields_of


class Size(jit.Record):
    height: int
    width: int


class Picture(jit.Record):
    first: Elements
    size: Size
    trace: Bytes
    places: Words
    sizes: Annotated[int, Size]


def test_what_is_not_given_is_zero():
    picture = Picture(first=5, size=Size(width=3))
    assert (picture.first, picture.size.height, picture.size.width, picture.trace) == (5, 0, 3, 0)


def test_a_copy_has_numbers_of_its_own():
    picture = Picture(size=Size(width=3))
    copy = picture.copy()
    copy.size.width = 4
    assert (picture.size.width, copy.size.width) == (3, 4)
    assert picture.address != copy.address


@pytest.mark.parametrize("kind", [Size, Picture])
def test_a_misspelt_field_is_no_field(kind):
    with pytest.raises((AttributeError, TypeError), match="hight"):
        kind(hight=3)
    record = kind()
    with pytest.raises(AttributeError, match="hight"):
        record.hight = 3


def test_numbers_lie_one_after_the_other_a_word_each():
    dtype = np.dtype(Picture)
    assert dtype.itemsize == 6 * np.dtype(np.intp).itemsize
    assert list(dtype.names) == ["first", "size", "trace", "places", "sizes"]


def test_fields_say_what_they_are():
    assert fields_of(Picture) == {
        "first": ["elements"],
        "size": Size,
        "trace": [np.dtype(np.uint8)],
        "places": [np.dtype(np.intp)],
        "sizes": [Size],
    }
    assert fields_of(Size) == {"height": int, "width": int}


def test_the_address_of_an_array_is_that_of_its_first_element():
    array = np.arange(12.0).reshape(3, 4)
    for view in (array, array[1:], array[:, 2:], array[::-1]):
        assert jit.address_of(view) == view.ctypes.data
