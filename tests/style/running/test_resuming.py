"""A run that was stopped or killed goes on to the same picture; what may differ then, and what may not."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

import fastconv
from fastconv.style.algorithm import lbfgs

from .helpers import RUN, STEPS, edit, losses

PROGRAM = "import sys; from fastconv.cli import main; sys.exit(main(sys.argv[1:], callback=callback))"


def python(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


KILL_IN_STEP = """
calls = []
def callback(step):
    calls.append(1)
    if len(calls) == NUMBER:
        os.kill(os.getpid(), signal.SIGKILL)
"""


WAIT_IN_THE_LAST_STEP = """
def callback(step):
    if (step.scale, step.step) == (96, 3):
        time.sleep(120)
"""


KILL_WHILE_WRITING = """
import numpy as np
savez, calls = np.savez, []
def killed(file, **arrays):
    calls.append(1)
    if len(calls) == NUMBER:
        file.write(b"PK, and no more")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    savez(file, **arrays)
np.savez = killed
"""


KILL_BETWEEN_RENAMES = """
from pathlib import Path
replace, calls = Path.replace, []
def killed(path, target):
    if str(target).endswith("run.ckpt"):
        calls.append(1)
        if len(calls) == NUMBER:
            os.kill(os.getpid(), signal.SIGKILL)
    return replace(path, target)
Path.replace = killed
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    ("where", "number"),
    [
        (KILL_IN_STEP, 6),
        (KILL_IN_STEP, 7),
        (KILL_IN_STEP, 9),
        (KILL_WHILE_WRITING, 3),
        (KILL_BETWEEN_RENAMES, 2),
    ],
    ids=["first scale", "between scales", "second scale", "while writing", "between renames"],
)
def test_a_killed_run_goes_on_bit_for_bit(style, folder, undisturbed, capsys, where, number):
    code = "import os, signal\ncallback = None\n" + where.replace("NUMBER", str(number)) + PROGRAM
    options = ["-o", "out.png", "--checkpoint", "run.ckpt", "--save-every", "2", "--log", "log.json"]
    killed = python(code, "style", *RUN, *options)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / "out.png").exists()
    capsys.readouterr()
    assert style("--resume", "run.ckpt") == 0
    printed = capsys.readouterr()
    assert f"{STEPS} steps, " in printed.err
    assert " of them done" in printed.err
    assert "may differ" not in printed.err
    assert ("the one before it" in printed.err) == (where == KILL_BETWEEN_RENAMES)
    assert ((folder / "out.png").read_bytes(), losses(folder / "log.json")) == undisturbed
    leftovers = [path for path in folder.iterdir() if path.suffix == ".part"]
    assert len(leftovers) == (where in (KILL_WHILE_WRITING, KILL_BETWEEN_RENAMES))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(style, folder, undisturbed):
    code = "import time\n" + WAIT_IN_THE_LAST_STEP + PROGRAM
    command = [sys.executable, "-c", code, "style", *RUN, "-o", "out.png", "--checkpoint", "run.ckpt"]
    process = subprocess.Popen([*command, "--save-every", "1"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while not (folder / "out-0004.png").exists() and process.poll() is None:
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert (folder / "out-0004.png").exists()
    assert not (folder / "out.png").exists()
    assert style("--resume", "run.ckpt") == 0
    assert (folder / "out.png").read_bytes() == undisturbed[0]


def test_an_interrupted_run_goes_on_bit_for_bit(style, folder, undisturbed, saved, capsys):
    saved()
    assert "to go on: fastconv style --resume run.ckpt" in capsys.readouterr().err
    assert (folder / "out.png").read_bytes() != undisturbed[0]
    assert style("--resume", "run.ckpt") == 0
    assert (folder / "out.png").read_bytes() == undisturbed[0]


def test_a_finished_run_has_nothing_left_to_do(style, folder, undisturbed, capsys):
    assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt") == 0
    (folder / "out.png").unlink()
    assert style("--resume", "run.ckpt") == 0
    assert f"{STEPS} steps, {STEPS} of them done" in capsys.readouterr().err
    assert (folder / "out.png").read_bytes() == undisturbed[0]


@pytest.mark.parametrize("every", [2, 3, 4])
def test_lbfgs_goes_on_bit_for_bit_from_where_a_search_began(style, folder, saved, monkeypatch, capsys, every):
    monkeypatch.setattr(lbfgs, "RESTART_EVERY", every)
    options = ["--optimizer", "lbfgs", "--steps", 5, "--log"]
    assert style(*RUN, "-o", "whole.png", *options, "whole.json") == 0
    saved(*options, "log.json")
    capsys.readouterr()
    assert style("--resume", "run.ckpt") == 0
    assert re.search(r"15 steps, [1-5] of them done", capsys.readouterr().err)
    assert (folder / "out.png").read_bytes() == (folder / "whole.png").read_bytes()
    assert losses(folder / "log.json") == losses(folder / "whole.json")


@pytest.mark.parametrize(
    ("options", "spelt"),
    [
        (["--beta", 3], "--beta"),
        (["--size", 96], "--size"),
        (["--no-clip"], "--no-clip"),
        (["--json"], "--json"),
        (["--overwrite"], "--overwrite"),
        (["--threads", 1], "--threads"),
        (["--log", "log.json"], "--log"),
        (["--report", "run.html"], "--report"),
        (["--checkpoint", "other.ckpt"], "--checkpoint"),
        (["--no-metadata"], "--no-metadata"),
        (["--demo"], "--demo"),
        (["photo.png"], "pictures"),
        (["--lr", 3, "--offline"], "--learning-rate, --offline"),
    ],
)
def test_other_options_are_refused_on_resume(style, saved, capsys, options, spelt):
    path = saved()
    before = path.read_bytes()
    assert style("--resume", "run.ckpt", *options) == 2
    assert f"given as well: {spelt}" in capsys.readouterr().err.replace("--offline, --learning-rate", spelt)
    assert path.read_bytes() == before


def test_output_steps_and_pictures_on_the_way_may_differ(style, folder, saved, capsys):
    saved()
    before = (folder / "out.png").read_bytes()
    capsys.readouterr()
    options = ["-o", "other.png", "--steps", 4, "--save-every", 3, "--quiet"]
    assert style("--resume", "run.ckpt", *options) == 0
    assert capsys.readouterr() == ("other.png\n", "")
    assert (folder / "out.png").read_bytes() == before
    # Five steps were done; 3 more at the first scale, 4 at the second.
    assert sorted(path.name for path in folder.glob("other*")) == [
        "other-0006.png",
        "other-0009.png",
        "other-0012.png",
        "other.png",
    ]
    with Image.open(folder / "other.png") as image:
        settings = json.loads(image.text["fastconv"])
    assert settings["steps"] == 4


def test_fewer_steps_than_were_done(style, folder, saved):
    saved()
    assert style("--resume", "run.ckpt", "--steps", 1, "-o", "short.png") == 0
    assert (folder / "short.png").exists()


def test_another_output_is_replaced_only_if_it_is_the_runs_own(style, folder, saved, capsys):
    saved()
    assert style("--resume", "run.ckpt", "-o", "photo.png") == 5
    assert "photo.png exists already" in capsys.readouterr().err
    assert style("--resume", "run.ckpt", "-o", "out.png") == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["-o", "other.png"], "other-0006.png"),
        (["--save-every", 4], "out-0008.png"),
        (["--steps", 4], "out-0012.png"),
    ],
)
def test_numbered_pictures_are_replaced_only_if_they_are_the_runs_own(style, folder, saved, capsys, options, name):
    saved("--save-every", 3, "--overwrite")
    (folder / name).write_text("precious")
    assert style("--resume", "run.ckpt", *options) == 5
    assert f"{name} exists already" in capsys.readouterr().err
    assert (folder / name).read_text() == "precious"


def test_pictures_that_the_run_was_to_write_are_replaced_and_those_of_the_past_left(style, folder, saved):
    saved("--save-every", 3)
    for name in ("out-0006.png", "other-0003.png", "run.ckpt.previous"):
        (folder / name).write_text("half of it")
    assert style("--resume", "run.ckpt") == 0
    assert (folder / "out-0006.png").read_bytes().startswith(b"\x89PNG")
    assert style("--resume", "run.ckpt", "-o", "other.png") == 0
    assert (folder / "other-0003.png").read_text() == "half of it"


def test_what_resumed_runs_have_named_is_theirs_ever_after(style, folder, saved):
    saved("--save-every", 3)
    assert style("--resume", "run.ckpt", "-o", "other.png") == 0
    for name in ("out.png", "other.png"):
        assert style("--resume", "run.ckpt", "-o", name) == 0


@pytest.mark.parametrize("metadata", [True, False])
def test_whether_settings_go_into_the_picture_is_kept(style, folder, saved, metadata):
    saved(*([] if metadata else ["--no-metadata"]))
    assert style("--resume", "run.ckpt") == 0
    assert (b"sha256" in (folder / "out.png").read_bytes()) == metadata


def test_checkpoints_of_before_there_were_such_settings(style, folder, saved):
    path = saved("--report", "run.html")
    edit(path, lambda document: [document["outputs"].pop(name) for name in ("metadata", "replaceable")])
    assert style("--resume", "run.ckpt") == 0
    assert b"sha256" in (folder / "out.png").read_bytes()


def test_settings_come_from_the_file_wherever_it_is_resumed(style, folder, saved, monkeypatch, capsys):
    saved("--json", "--log", "log.json", "--threads", "1")
    fastconv.set_num_threads(2)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    capsys.readouterr()
    assert style("--resume", "../run.ckpt") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["output"] == str(folder / "out.png")
    assert (told["settings"]["seed"], told["settings"]["init"], told["settings"]["threads"]) == (5, "noise", 1)
    assert len(told["losses"]) == STEPS
    assert losses(folder / "log.json") == [
        tuple(record[key] for key in ("scale", "step", "loss", "content", "style")) for record in told["losses"]
    ]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("fact", ["numba version", "vector lanes", "processor", "fastconv version"])
def test_another_environment_is_told(style, saved, capsys, fact):
    edit(saved(), lambda document: document["environment"].update({fact: "another"}))
    assert style("--resume", "run.ckpt") == 0
    told = capsys.readouterr().err
    assert f"may differ from that of an undisturbed run in its last digits: {fact}: another then" in told


def test_more_threads_than_there_are(style, saved, capsys):
    edit(saved(), lambda document: document["environment"].update({"number of threads": "100000"}))
    assert style("--resume", "run.ckpt") == 0
    assert "number of threads: 100000 then" in capsys.readouterr().err
