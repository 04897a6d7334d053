"""What may be changed of a run that is resumed."""

import pytest

from fastconv.cli.command_line import make_parser
from fastconv.cli.errors import CommandError, Exit
from fastconv.cli.style.resuming import changes


def arguments(*words):
    args = make_parser().parse_args(["style", "--resume", "run.ckpt", *words])
    args.callback = None  # as `main` does
    return args


def test_what_is_not_given_stays():
    assert changes(arguments("--quiet")) == {"picture": None, "steps": None, "save_every": None}


def test_what_may_change():
    changed = changes(arguments("-o", "out.png", "--steps", "5", "--save-every", "2"))
    assert {name: str(value) for name, value in changed.items()} == {
        "picture": "out.png",
        "steps": "5",
        "save_every": "2",
    }


@pytest.mark.parametrize(
    ("words", "spelt"),
    [
        (["photo.png"], "pictures"),
        (["--mask", "a.png"], "--mask"),
        (["--log", "run.json"], "--log"),
        (["--no-clip"], "--no-clip"),
        (["--no-metadata"], "--no-metadata"),
        (["--style-weights", "1,2", "--seed", "3"], "--style-weights, --seed"),
    ],
)
def test_everything_else_is_refused_as_it_was_spelt(words, spelt):
    with pytest.raises(CommandError, match="--resume takes every setting from the file") as refusal:
        changes(arguments(*words))
    assert refusal.value.code == Exit.USAGE
    assert str(refusal.value).endswith(f"given as well: {spelt}")
