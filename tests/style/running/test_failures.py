"""What a run that fails leaves behind."""

import sys
from pathlib import Path

import pytest

from fastconv.style.files import OutputError
from fastconv.style.running.checkpoint import Checkpoint
from fastconv.style.running.outputs import Outputs
from fastconv.style.running.progress import Progress
from fastconv.style.running.run import run

from ..helpers import QUICK, size_of

QUICK_RUN = ["photo.png", "painting.png", *QUICK]


@pytest.mark.parametrize(("error", "code"), [(FloatingPointError("too far"), 1), (MemoryError(), 4)])
def test_what_there_is_of_a_run_that_cannot_go_on_is_saved(style, folder, capsys, error, code):
    def failing(step):
        if step.step == 4:
            raise error

    assert style(*QUICK_RUN, "-o", "whole.png", "--steps", 5) == 0
    (folder / "out-unfinished.png").write_text("precious")
    assert style(*QUICK_RUN, "-o", "out.png", "--steps", 5, "--checkpoint", "run.npz", callback=failing) == code
    assert "the picture as far as it came: out-unfinished-2.png" in capsys.readouterr().err
    assert not (folder / "out.png").exists()
    assert (folder / "out-unfinished.png").read_text() == "precious"
    assert size_of(folder / "out-unfinished-2.png") == (48, 32)
    assert style("--resume", "run.npz") == 0
    assert size_of(folder / "out.png") == (48, 32)
    assert (folder / "out.png").read_bytes() == (folder / "whole.png").read_bytes()


def test_a_checkpoint_that_cannot_be_written_does_not_cost_the_unfinished_picture(style, folder, monkeypatch, capsys):
    def failing(step):
        if step.step == 2:
            raise FloatingPointError("too far")

    def full(checkpoint, frames=()):
        raise OutputError("no space left")

    monkeypatch.setattr(Checkpoint, "write", full)
    assert style(*QUICK_RUN, "-o", "out.png", "--checkpoint", "run.npz", callback=failing) == 1
    assert "the checkpoint could not be written: no space left" in capsys.readouterr().err
    assert size_of(folder / "out-unfinished.png") == (48, 32)


def test_a_run_whose_progress_nobody_reads_leaves_its_picture(folder, monkeypatch):
    def closed(progress, step):
        raise BrokenPipeError

    monkeypatch.setattr(Progress, "update", closed)
    options = {"content_layers": ("relu2_2",), "style_layers": ("relu1_1",)}
    with pytest.raises(BrokenPipeError):
        run("photo.png", ["painting.png"], Outputs(Path("out.png")), progress=sys.stderr, **options)
    assert size_of(folder / "out-unfinished.png") == (48, 32)


def test_a_report_needs_neither_losses_nor_the_file_of_the_photograph(style, folder):
    def without_file(step):
        (folder / "photo.png").unlink(missing_ok=True)

    options = ["--beta", 0, "--tv", 0, "--report", "run.html"]
    assert style(*QUICK_RUN, "-o", "out.png", *options, callback=without_file) == 0
    assert (folder / "run.html").is_file()
