"""The film and the report of a run, by command."""

import re
import subprocess
import sys

import pytest
from PIL import Image

from fastconv import cli
from fastconv.style.report import movie

from ..report.helpers import RUN, Page


@pytest.mark.parametrize("name", ["run.gif", "run.mp4"])
def test_an_encoder_that_fails_costs_the_film_alone(folder, capsys, monkeypatch, name):
    def failing(pictures):
        raise RuntimeError("ffmpeg has ended\n\nFFMPEG COMMAND:\nffmpeg -y")

    monkeypatch.setattr(movie, f"_encode_{name[-3:]}", failing)
    assert cli.main([*RUN, "--movie", name, "--report", "run.html"]) == 5
    printed = capsys.readouterr().err
    assert f"{name} cannot be written: its frames could not be encoded: ffmpeg has ended" in printed
    assert "FFMPEG COMMAND" not in printed
    assert "Traceback" not in printed
    assert {path.name for path in folder.iterdir()} == {"photo.png", "painting.png", "out.png", "run.html"}


def test_the_command_makes_a_report_and_a_film(folder, capsys):
    assert cli.main([*RUN, "--report", "run.html", "--movie", "run.gif"]) == 0
    assert capsys.readouterr().out == "out.png\n"
    page = Page(folder / "run.html")
    assert "photo.png in the manner of painting.png" in page.text
    assert len(page.all("img")) == 2 + 3
    with Image.open(folder / "run.gif") as film:
        assert film.size == (48, 32)


def test_frames_and_losses_of_a_resumed_run_are_whole(folder):
    options = ["--report", "run.html", "--movie", "run.gif", "--checkpoint", "run.ckpt", "--save-every", "1"]
    code = (
        "import os, signal, sys; from fastconv.cli import main\n"
        "def killed(step):\n"
        "    if step.step == 3: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(main(sys.argv[1:], callback=killed))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, *RUN, "--steps", "5", *options], capture_output=True, text=True
    )
    assert killed.returncode == 143, killed.stderr
    assert len(Page(folder / "run.html").all("img")) == 2 + 3
    assert cli.main(["style", "--resume", "run.ckpt"]) == 0
    page = Page(folder / "run.html")
    assert len(page.all("img")) == 2 + 5
    assert "5 steps in" in page.text
    assert re.findall(r"step (\d) \(\d in all\)", page.text) == ["1", "2", "3", "4", "5"]
