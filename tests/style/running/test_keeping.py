"""What is kept of a run on its way and at its end, also when something fails."""

import json

import numpy as np
from PIL import Image

from fastconv.style.files import OutputError
from fastconv.style.running import keeping

from .helpers import RUN, losses


def test_numbered_pictures_are_saved_at_the_final_size(style, folder):
    assert style(*RUN, "-o", "out.png", "--save-every", 4) == 0
    assert sorted(path.name for path in folder.glob("out*")) == ["out-0004.png", "out-0008.png", "out.png"]
    pictures = [Image.open(folder / name) for name in ("out-0004.png", "out-0008.png", "out.png")]
    assert {picture.size for picture in pictures} == {(96, 64)}
    first, second, last = (np.asarray(picture, float) for picture in pictures)
    assert np.abs(first - last).mean() > np.abs(second - last).mean() > 0


def test_the_picture_itself_is_saved_on_the_way(style, folder):
    seen = []

    def watching(step):
        seen.append((folder / "out.png").read_bytes() if (folder / "out.png").exists() else None)

    assert style(*RUN, "-o", "out.png", "--save-every", 4, "--in-place", callback=watching) == 0
    assert [path.name for path in folder.glob("out*")] == ["out.png"]
    assert seen[:4] == [None] * 4
    assert seen[4] == seen[7] != seen[8]
    assert seen[8] is not None
    assert seen[8] != (folder / "out.png").read_bytes()


def test_a_full_disk_on_the_way_does_not_end_the_run(style, folder, undisturbed, monkeypatch, capsys):
    save = keeping.save

    def full(path, *arguments, **options):
        if "-0" in path.name:
            raise OutputError(f"{path} cannot be written: no space left on device")
        save(path, *arguments, **options)

    monkeypatch.setattr(keeping, "save", full)
    assert style(*RUN, "-o", "out.png", "--save-every", 4) == 0
    assert "out-0004.png cannot be written: no space left on device; the run goes on" in capsys.readouterr().err
    assert (folder / "out.png").read_bytes() == undisturbed[0]


def test_at_the_end_all_is_written_that_can_be(style, folder, undisturbed, monkeypatch, capsys):
    def full(path, *arguments, **options):
        raise OutputError(f"{path} cannot be written: no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "save", full)
        assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt", "--log", "log.json") == 5
    assert "out.png cannot be written: no space left on device" in capsys.readouterr().err
    assert losses(folder / "log.json") == undisturbed[1]
    assert style("--resume", "run.ckpt") == 0
    assert (folder / "out.png").read_bytes() == undisturbed[0]


def test_the_log_is_what_json_prints(style, folder, capsys):
    assert style(*RUN, "-o", "out.png", "--log", "log.json", "--json") == 0
    assert json.loads((folder / "log.json").read_text()) == json.loads(capsys.readouterr().out)
