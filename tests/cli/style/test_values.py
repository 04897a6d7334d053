"""Texts on the command line become the values that options have."""

import argparse

import pytest

from fastconv.cli.style import values


@pytest.mark.parametrize(("text", "value"), [("384", 384), ("320x192", "320x192"), ("wide", "wide"), ("²", "²")])
def test_a_size_is_a_number_or_left_as_it_is(text, value):
    assert values.size(text) == value


def test_numbers_stand_between_commas():
    assert values.numbers("two numbers")("1,0.5") == (1.0, 0.5)
    with pytest.raises(argparse.ArgumentTypeError, match="expected two numbers, got '1;2'"):
        values.numbers("two numbers")("1;2")


def test_names_may_have_spaces_around_them():
    assert values.names("relu1_1, relu2_1:3,") == ("relu1_1", "relu2_1:3")
