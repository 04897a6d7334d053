"""Files that a run writes: probed before any work."""

import pytest

from .helpers import RUN


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--save-every", 0], "save_every must be"),
        (["--in-place"], "in_place needs save_every"),
        (["--checkpoint", "same", "--log", "same"], "a name of its own"),
        (["--checkpoint", "same", "--log", "same.previous"], "a name of its own"),
        (["--save-every", 2, "--log", "out-0004.png"], "save_every may give"),
    ],
)
def test_mistakes_of_usage(style, capsys, options, message):
    assert style(*RUN, "-o", "out.png", *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--checkpoint", "--log", "--report"])
@pytest.mark.parametrize("name", ["there", "nowhere/file", "."])
def test_outputs_are_probed_before_any_work(style, folder, capsys, option, name):
    (folder / "there").write_text("precious")
    assert style("nowhere.png", "nowhere.png", "-o", "out.png", option, name) == 5
    assert name in capsys.readouterr().err
    assert (folder / "there").read_text() == "precious"


def test_numbered_pictures_replace_nothing(style, folder, capsys):
    (folder / "out-0008.png").write_text("precious")
    assert style(*RUN, "-o", "out.png", "--save-every", 4) == 5
    assert "out-0008.png exists already" in capsys.readouterr().err
    assert not (folder / "out-0004.png").exists()
    assert style(*RUN, "-o", "out.png", "--save-every", 4, "--overwrite") == 0
