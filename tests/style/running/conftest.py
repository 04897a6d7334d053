"""The command, an undisturbed run of it, and one that was interrupted."""

import itertools
import signal

import pytest

import fastconv
from fastconv import cli

from .helpers import RUN, losses


@pytest.fixture
def style(folder):
    """Run the command in this process."""

    def style(*arguments, callback=None):
        return cli.main(["style", *map(str, arguments)], callback=callback)

    return style


@pytest.fixture
def undisturbed(style, folder):
    """The bytes of the picture that an undisturbed run makes, and its losses."""
    assert style(*RUN, "-o", "undisturbed.png", "--log", "undisturbed.json") == 0
    return (folder / "undisturbed.png").read_bytes(), losses(folder / "undisturbed.json")


@pytest.fixture
def saved(style, folder):
    """The checkpoint of a run that was interrupted after five steps; its picture is out.png."""

    def interrupt_and_save(*options):
        number = itertools.count(1)

        def interrupted(step):
            if next(number) == 5:
                signal.raise_signal(signal.SIGINT)

        assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt", *options, callback=interrupted) == 130
        return folder / "run.ckpt"

    return interrupt_and_save


@pytest.fixture(autouse=True)
def _threads_as_before():
    threads = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(threads)
