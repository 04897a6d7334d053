"""Folders of photographs."""

import errno
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastconv import cli
from fastconv.style import Transfer
from fastconv.style.algorithm import objective
from fastconv.style.files import OutputError
from fastconv.style.running import keeping

from ..helpers import QUICK


@pytest.fixture
def photographs(folder):
    """The folder `in`: three photographs, one of another size and kind, and what is none."""
    source = folder / "in"
    source.mkdir()
    rng = np.random.default_rng(2)
    for name, shape in (("a.png", (32, 48)), ("b.jpg", (32, 48)), ("c.bmp", (36, 40))):
        Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(source / name)
    (source / "notes.txt").write_text("no picture")
    (source / ".hidden.png").write_text("no picture")
    (source / "subfolder.png").mkdir()
    return source


@pytest.fixture
def style(photographs):
    """Repaint the folder `in` into `out`."""

    def style(*options, output="out", callback=None):
        return cli.main(["style", "in", "painting.png", "-o", output, *QUICK, *options], callback=callback)

    return style


def names(path):
    return sorted(child.name for child in path.iterdir() if not child.name.startswith("."))


def marks(folder):
    """Return the marks of the photographs that have been begun and not finished."""
    return sorted(path.name for path in (folder / "out").glob(".*.begun"))


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing is tidied up."""


def interrupt():
    signal.raise_signal(signal.SIGINT)


def kill():
    raise Killed


def fail():
    raise FloatingPointError("the loss became nan")


@pytest.fixture
def disturbed(style, folder):
    """Repaint the folder, and let something happen in the fourth step of b.jpg."""

    def disturbed(happen, *options):
        def happening(step):
            if marks(folder) == [".b.jpg.begun"] and step.step == 4:
                happen()

        return style("--steps", "5", *options, callback=happening)

    return disturbed


def test_every_photograph_is_repainted_under_its_name(style, folder, capsys):
    assert style() == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(Path("out") / name) for name in ("a.png", "b.jpg", "c.bmp.png")]
    assert names(folder / "out") == ["a.png", "b.jpg", "c.bmp.png"]
    assert "2 of 3: in/b.jpg" in printed.err.replace("\\", "/")
    for name, size in (("a.png", (48, 32)), ("b.jpg", (48, 32)), ("c.bmp.png", (40, 36))):
        with Image.open(folder / "out" / name) as image:
            assert image.size == size
    with Image.open(folder / "out" / "c.bmp.png") as image:
        settings = json.loads(image.text["fastconv"])
    assert settings["content"] == {"name": "c.bmp", "size": [36, 40]}
    assert [(scale["height"], scale["width"]) for scale in settings["scales"]] == [(36, 40)]


def test_the_pictures_are_those_of_single_runs(style, folder):
    assert style("--init", "noise", "--total-variation", "0.1") == 0
    single = ["style", "in/c.bmp", "painting.png", "-o", "single.png", *QUICK]
    assert cli.main([*single, "--init", "noise", "--total-variation", "0.1"]) == 0
    assert (folder / "single.png").read_bytes() == (folder / "out" / "c.bmp.png").read_bytes()


def test_colours_are_matched_with_each_photograph(style, folder):
    assert style("--preserve-colors", "match") == 0
    single = ["style", "in/c.bmp", "painting.png", "-o", "single.png", *QUICK, "--preserve-colors", "match"]
    assert cli.main(single) == 0
    assert (folder / "single.png").read_bytes() == (folder / "out" / "c.bmp.png").read_bytes()


def test_weights_and_targets_are_computed_once(style, monkeypatch):
    loads, targets = [], []
    load, compute = Transfer.__init__, objective.style_targets
    monkeypatch.setattr(Transfer, "__init__", lambda *a, **k: loads.append(1) or load(*a, **k))
    monkeypatch.setattr(objective, "style_targets", lambda *a: targets.append(a[1].shape[2:]) or compute(*a))
    assert style() == 0
    assert len(loads) == 1
    # The painting is 40x40; that of 48 px is not enlarged, so one size serves all.
    assert targets == [(40, 40)]


def test_a_second_run_skips_what_is_done(style, folder, capsys):
    assert style() == 0
    before = {name: (folder / "out" / name).read_bytes() for name in names(folder / "out")}
    (folder / "out" / "b.jpg").unlink()
    capsys.readouterr()
    assert style() == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(Path("out") / "b.jpg")]
    assert printed.err.count("skipped, done before") == 2
    assert {name: (folder / "out" / name).read_bytes() for name in names(folder / "out")} == before
    assert style("--overwrite", "--quiet") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_failures_are_listed_at_the_end(style, photographs, folder, capsys):
    (photographs / "a.png").write_text("<!DOCTYPE html>")
    Image.new("RGB", (400, 8)).save(photographs / "b.jpg")
    assert style() == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(Path("out") / "c.bmp.png")]
    last = printed.err.splitlines()[-2:]
    assert last[0].startswith(f"fastconv: failed: {Path('in') / 'a.png'}: ")
    assert "web page" in last[0]
    assert last[1].startswith(f"fastconv: failed: {Path('in') / 'b.jpg'}: ")
    assert "too small" in last[1]
    assert names(folder / "out") == ["c.bmp.png"]


def test_a_picture_that_cannot_be_saved_is_a_failure_of_its_own(style, folder, capsys, monkeypatch):
    save = keeping.save

    def full(path, *arguments, **options):
        if path.name == "a.png":
            raise OutputError(errno.ENOSPC, "no space left on device")
        save(path, *arguments, **options)

    monkeypatch.setattr(keeping, "save", full)
    assert style() == 2
    assert "a.png: [Errno" in capsys.readouterr().err
    assert names(folder / "out") == ["b.jpg", "c.bmp.png"]


def test_an_interrupted_picture_is_not_taken_for_a_finished_one(style, folder, capsys):
    def interrupted(step):
        if marks(folder) == [".b.jpg.begun"]:
            interrupt()

    assert style(callback=interrupted) == 130
    assert names(folder / "out") == ["a.png", "b-unfinished.jpg"]
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(Path("out") / name) for name in ("a.png", "b-unfinished.jpg")]
    assert style() == 0
    assert names(folder / "out") == ["a.png", "b-unfinished.jpg", "b.jpg", "c.bmp.png"]


@pytest.mark.parametrize(
    ("happen", "code", "unfinished"),
    [(interrupt, 130, ["b-unfinished.jpg"]), (kill, None, []), (fail, 2, ["b-unfinished.jpg"])],
)
def test_a_second_run_replaces_what_a_disturbed_one_has_left(style, disturbed, folder, happen, code, unfinished):
    assert style("--steps", "5", "--save-every", "2", output="whole") == 0
    if code is None:
        with pytest.raises(Killed):
            disturbed(happen, "--save-every", "2")
    else:
        assert disturbed(happen, "--save-every", "2") == code
    assert "b.jpg" not in names(folder / "out")
    (folder / "out" / "b-0002.jpg").write_text("half of it")
    assert style("--steps", "5", "--save-every", "2") == 0
    assert names(folder / "out") == sorted(names(folder / "whole") + unfinished)
    for name in names(folder / "whole"):
        assert (folder / "out" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    assert not [path for path in (folder / "out").iterdir() if path.name.startswith(".")]


def test_a_folder_may_be_moved_between_the_runs(style, disturbed, folder):
    assert disturbed(interrupt, "--save-every", "2") == 130
    (folder / "out").rename(folder / "moved")
    assert style("--save-every", "2", output="moved") == 0


def test_what_no_run_has_named_is_not_replaced(style, disturbed, folder, capsys):
    assert disturbed(interrupt, "--save-every", "2") == 130
    (folder / "out" / "b-0003.jpg").write_text("precious")
    (folder / "out" / "c.bmp-0003.png").write_text("precious")
    assert style("--steps", "5", "--save-every", "3") == 2
    printed = capsys.readouterr().err
    for name in ("b-0003.jpg", "c.bmp-0003.png"):
        assert f"{name} exists already" in printed
        assert (folder / "out" / name).read_text() == "precious"


def test_an_interrupted_run_that_may_overwrite_leaves_finished_pictures(style, disturbed, folder):
    assert style() == 0
    before = (folder / "out" / "b.jpg").read_bytes()
    assert disturbed(interrupt, "--overwrite") == 130
    assert (folder / "out" / "b.jpg").read_bytes() == before
    assert names(folder / "out") == ["a.png", "b-unfinished.jpg", "b.jpg", "c.bmp.png"]


def test_a_mark_that_cannot_be_read_is_a_failure_of_its_photograph(style, folder, capsys):
    (folder / "out" / ".a.png.begun").mkdir(parents=True)
    assert style() == 2
    assert ".a.png.begun cannot be read" in capsys.readouterr().err
    assert names(folder / "out") == ["b.jpg", "c.bmp.png"]


def test_each_interruption_keeps_its_picture(disturbed, folder):
    assert disturbed(interrupt) == disturbed(interrupt) == 130
    assert names(folder / "out") == ["a.png", "b-unfinished-2.jpg", "b-unfinished.jpg"]


@pytest.mark.parametrize("pair", [("a.png", "a-0004.png"), ("a.png", "a-unfinished.png"), ("d.gif", "d.gif.png")])
def test_photographs_that_would_become_the_same_file_are_refused(style, photographs, folder, capsys, monkeypatch, pair):
    for name in pair:
        Image.new("RGB", (40, 40)).save(photographs / name)
    monkeypatch.setenv("FASTCONV_WEIGHTS", "nowhere.npz")
    assert style("--save-every", "2") == 5
    printed = capsys.readouterr().err
    assert all(str(Path("in") / name) in printed for name in pair)
    assert "rename one of them" in printed
    assert not (folder / "out").exists()


def test_numbers_that_no_picture_gets_are_free(style, photographs, folder):
    for name in ("a-0003.png", "a-4.png", "a-0000.png", "-0002.png", "d-0002.png"):
        Image.new("RGB", (40, 40)).save(photographs / name)
    assert style("--save-every", "2") == 0
    assert "a-0002.png" in names(folder / "out")


def test_a_name_that_is_too_long_fails_alone(style, photographs, capsys):
    (photographs / "c.bmp").rename(photographs / f"{'c' * 249}.bmp")
    assert style() == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert "cannot be made" in printed.err


def test_a_colour_profile_that_is_broken_is_told_once(style, folder, capsys):
    with Image.open(folder / "painting.png") as painting:
        painting.save(folder / "painting.png", icc_profile=b"no profile")
    assert style() == 0
    assert capsys.readouterr().err.count("its colour profile is ignored") == 1


def test_pictures_on_the_way_and_json(style, folder, capsys):
    assert style("--save-every", "1", "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(one["output"]).name for one in told] == ["a.png", "b.jpg", "c.bmp.png"]
    assert [len(one["losses"]) for one in told] == [2, 2, 2]
    assert (folder / "out" / "a-0001.png").exists()


@pytest.mark.parametrize(
    "option", [["--checkpoint", "f"], ["--report", "f"], ["--movie", "f.gif"], ["--log", "f"], ["--in-place"]]
)
def test_what_is_for_one_picture_only_is_refused(style, folder, capsys, option):
    every = ["--save-every", "1"] if option == ["--in-place"] else []
    assert style(*option, *every) == 2
    assert "only for a single picture" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_mistakes_are_told_before_any_work(style, photographs, folder, capsys, monkeypatch):
    monkeypatch.setenv("FASTCONV_WEIGHTS", "nowhere.npz")
    assert style(output="in") == 5
    assert "expected another one" in capsys.readouterr().err
    assert style(output="photo.png") == 5
    assert "is a file; expected a folder" in capsys.readouterr().err
    assert style(output="new.png") == 5
    assert "is the name of a picture" in capsys.readouterr().err
    assert not (folder / "new.png").exists()
    for name in ("nowhere/out", "n" * 300):
        assert style(output=name) == 5
        assert "cannot be made" in capsys.readouterr().err
    assert style("--steps", "0") == 2
    assert capsys.readouterr().err.count("steps must be") == 1
    assert style() == 3
    assert "nowhere.npz" in capsys.readouterr().err
    (folder / "painting.png").write_text("")
    assert style() == 2
    assert capsys.readouterr().err.count("painting.png") == 1
    shutil.rmtree(photographs)
    photographs.mkdir()
    (photographs / "notes.txt").write_text("no picture")
    assert style() == 2
    assert "holds no pictures" in capsys.readouterr().err
