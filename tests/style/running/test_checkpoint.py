"""Checkpoints as they are written."""

import os

import numpy as np
import pytest

from fastconv.style import Transfer
from fastconv.style.files import OutputError
from fastconv.style.running import checkpoint as checkpoints
from fastconv.style.running import saved as saved_runs
from fastconv.style.running.checkpoint import Checkpoint

from .helpers import RUN


def test_lbfgs_has_no_checkpoint_before_its_first_search_has_ended(folder, saved, capsys):
    path = saved("--optimizer", "lbfgs")
    assert "no checkpoint: the first search of L-BFGS had not ended" in capsys.readouterr().err
    assert not path.exists()
    assert (folder / "out.png").exists()


def test_pictures_that_are_no_files_are_kept(style, folder, random_weights):
    rng = np.random.default_rng(0)
    content = rng.integers(0, 256, (32, 40, 4), dtype=np.uint8)
    painting = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    options = {"steps": 4, "content_layers": ("relu1_2",), "style_layers": ("relu1_1",), "init": painting}
    whole = Transfer(content, [painting], weights=random_weights, **options)
    list(whole)
    half = Transfer(content, [painting], weights=random_weights, **options)
    next(iter(half))
    checkpoint = Checkpoint(folder / "run.ckpt", half, content, [painting], {})
    checkpoint.note()
    assert checkpoint.write()
    rest = saved_runs.read(folder / "run.ckpt", print).transfer()
    assert len(list(rest)) == 3
    np.testing.assert_array_equal(rest.result().image, whole.result().image)
    for name in ("content", "styles", "init"):
        assert rest.settings[name] == whole.settings[name]


def test_a_previous_checkpoint_of_another_run_is_not_replaced(style, folder, capsys):
    (folder / "run.ckpt.previous").write_text("precious")
    assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt") == 5
    assert "run.ckpt.previous exists already" in capsys.readouterr().err
    assert (folder / "run.ckpt.previous").read_text() == "precious"


def test_a_checkpoint_is_written_once_a_minute(style, folder, monkeypatch):
    now, writes = [0.0], []
    write = Checkpoint.write

    def slow(step):
        now[0] += 25.0

    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Checkpoint, "write", lambda self, frames: writes.append(now[0]) or write(self, frames))
    assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt", "--quiet", callback=slow) == 0
    assert writes == [75.0, 150.0, 225.0, 225.0]


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(folder, random_weights, monkeypatch):
    transfer = Transfer(
        "photo.png", "painting.png", weights=random_weights, steps=2, content_layers=("relu1_1",), beta=0
    )
    checkpoint = Checkpoint(folder / "run.ckpt", transfer, "photo.png", ["painting.png"], {})
    next(iter(transfer))
    checkpoint.note()
    assert checkpoint.write()
    before = (folder / "run.ckpt").read_bytes()

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OutputError, match=r"run\.ckpt cannot be written"):
        checkpoint.write()
    assert (folder / "run.ckpt").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["painting.png", "photo.png", "run.ckpt"]
