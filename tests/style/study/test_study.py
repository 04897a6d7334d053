"""The whole study and its files."""

import json
import sys

import pytest
from PIL import Image

from fastconv import cli
from fastconv.cli.errors import Exit
from fastconv.style import ImageError, OptionError, OutputError
from fastconv.style.algorithm.presets import PRESETS
from fastconv.style.study import study as studies
from fastconv.style.study.files import StudyFiles
from fastconv.style.study.settings import Setting
from fastconv.style.study.study import study

from .helpers import PICTURES, SMALL


def test_a_study_writes_what_it_did(weights, folder):
    rows = {"a": [Setting(steps=1), Setting(steps=2)], "b": [Setting(steps=2), Setting(beta=1, steps=1)]}
    lines = []
    outputs = study(*PICTURES, folder / "out", weights=weights, rows=rows, show=lines.append, **SMALL)
    assert outputs == StudyFiles(folder / "out")
    assert len(lines) == 1 + 3
    assert {len(line) for line in lines} == {len(studies.COLUMNS)}
    for path in (outputs.sheet, outputs.curves):
        with Image.open(path) as image:
            image.verify()
    numbers = json.loads(outputs.numbers.read_text())
    assert numbers["weights"]["sha256"] == "cd" * 32
    assert [[run["steps"] for run in row] for row in numbers["rows"].values()] == [[1, 2], [2, 1]]
    assert numbers["rows"]["a"][1] == numbers["rows"]["b"][0]
    assert numbers["rows"]["a"][1]["trace"][-1]["step"] == 2
    assert {line.split()[-1] for line in lines[1:]} == {"-"}  # the experiment itself is not among them
    with pytest.raises(OutputError, match=r"sheet\.png exists already"):
        study(*PICTURES, folder / "out", weights=weights, rows=rows, **SMALL)


def test_a_missing_picture_is_told_before_anything_is_done(folder, weights):
    lines = []
    with pytest.raises(ImageError, match=r"nowhere\.png does not exist"):
        study(PICTURES[0], folder / "nowhere.png", folder / "out", weights=weights, rows={}, show=lines.append)
    assert not lines
    assert not (folder / "out").exists()


def test_what_is_done_is_kept_when_a_study_is_interrupted(weights, folder):
    def interrupt(line):
        if line != studies.COLUMNS:
            raise KeyboardInterrupt

    rows = {"a": [Setting(steps=1)], "b": [Setting(beta=1, steps=1)]}
    with pytest.raises(KeyboardInterrupt):
        study(*PICTURES, folder / "out", weights=weights, rows=rows, show=interrupt, **SMALL)
    assert list(json.loads(StudyFiles(folder / "out").numbers.read_text())["rows"]) == ["a"]


def test_a_study_that_ends_before_its_first_run_writes_nothing(weights, folder):
    with pytest.raises(OptionError):
        study(*PICTURES, folder / "out", weights=weights, rows={"a": [Setting(steps=0)]}, **SMALL)
    assert list((folder / "out").iterdir()) == []


def test_a_folder_that_cannot_be_made(weights, folder):
    with pytest.raises(OutputError, match="cannot be made"):
        study(*PICTURES, folder / "no" / "such", weights=weights)


@pytest.fixture
def short(monkeypatch):
    """Leave a moment's work of the study."""
    for name, value in SMALL.items():
        monkeypatch.setitem(PRESETS["gatys"], name, value)
    for title in list(studies.ROWS):
        monkeypatch.delitem(studies.ROWS, title)
    monkeypatch.setitem(studies.ROWS, "short", [Setting(steps=1), Setting(steps=2)])


@pytest.mark.usefixtures("short")
def test_the_command(folder, capsys):
    assert cli.main(["study", *PICTURES, "-o", "out"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == studies.COLUMNS
    assert [line.split()[3] for line in lines[1:3]] == ["1", "2"]
    assert lines[3:] == ["out/sheet.png", "out/curves.png", "out/study.json"]
    assert cli.main(["study", *PICTURES, "-o", "out"]) == Exit.OUTPUT
    assert cli.main(["study", *PICTURES, "-o", "out", "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().err.count("\n") == 1  # about the second one


@pytest.mark.usefixtures("short")
def test_without_pictures_it_takes_those_of_the_demo(folder, monkeypatch):
    monkeypatch.setattr("fastconv.style.demo.pictures.demo_pictures", lambda: PICTURES)
    assert cli.main(["study", "--quiet"]) == 0
    assert (folder / "study" / "sheet.png").is_file()


@pytest.mark.usefixtures("short")
def test_mistakes_are_told_before_any_work(folder, capsys, monkeypatch):
    assert cli.main(["study", "photo.png"]) == Exit.USAGE
    assert "expected CONTENT STYLE or no pictures, got photo.png" in capsys.readouterr().err
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.main(["study", *PICTURES]) == Exit.USAGE
    assert "matplotlib is not installed; this command needs: pip install 'fastconv[study]'" in capsys.readouterr().err
    assert not (folder / "study").exists()
