"""What the commands that run transfers share."""

import warnings

import pytest

from fastconv import get_num_threads
from fastconv.cli import transfers
from fastconv.cli.errors import CommandError, Exit

pytest.importorskip("PIL")
from fastconv.style import ImageError, MemoryLimitError, OptionError, OutputError
from fastconv.style.images import ImageWarning
from fastconv.style.running.saved import CheckpointError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OptionError, Exit.USAGE),
        (ImageError, Exit.USAGE),
        (CheckpointError, Exit.USAGE),
        (MemoryLimitError, Exit.MEMORY),
        (OutputError, Exit.OUTPUT),
        (FloatingPointError, Exit.INTERNAL),
    ],
)
def test_an_error_that_the_user_can_mend_has_its_exit_code(error, code):
    with pytest.raises(CommandError, match="oh") as raised, transfers.errors_with_codes():
        raise error("oh")
    assert raised.value.code == code


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), transfers.errors_with_codes():
        raise ZeroDivisionError


@pytest.mark.parametrize("log", [print, None])
def test_a_warning_about_a_picture_takes_a_line_if_anything_is_said(log, capsys):
    with transfers.image_warnings_in_a_line(log):
        warnings.warn("its profile is ignored", ImageWarning, stacklevel=1)
    assert capsys.readouterr().err == ("fastconv: its profile is ignored\n" if log else "")


@pytest.mark.parametrize("log", [print, None])
def test_other_warnings_are_shown_as_usual(log, capsys):
    with pytest.warns(RuntimeWarning, match="overflow"), transfers.image_warnings_in_a_line(log):
        warnings.warn("overflow", RuntimeWarning, stacklevel=1)
    assert capsys.readouterr().err == ""


def test_a_number_of_threads_that_there_is_not():
    before = get_num_threads()
    with pytest.raises(CommandError, match="--threads: ") as raised:
        transfers.limit_threads(0)
    assert raised.value.code == Exit.USAGE
    assert get_num_threads() == before
