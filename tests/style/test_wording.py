"""Numbers as people read them."""

import pytest

from fastconv.style.wording import format_seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (65, "1:05"), (3599.7, "1:00:00"), (7205, "2:00:05")]
)
def test_durations_are_readable(seconds, text):
    assert format_seconds(seconds) == text
