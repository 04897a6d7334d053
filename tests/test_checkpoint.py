"""Checkpoints: a run that was killed goes on to the same picture, and what was kept on the way is kept whole."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import fastconv
from fastconv import cli
from fastconv.style import Transfer
from fastconv.style.algorithm import lbfgs
from fastconv.style.files import OutputError
from fastconv.style.running import checkpoint as checkpoints
from fastconv.style.running import keeping
from fastconv.style.running import saved as saved_runs
from fastconv.style.running.arrays import from_arrays, to_arrays
from fastconv.style.running.checkpoint import Checkpoint, previous

# Two scales, 64x48 with six steps and 96x64 with three, through the first layers only: a run takes a moment.
RUN = ["photo.png", "painting.png", "--enlarge", "--size", "96", "--min-scale", "64", "--steps", "3"]
RUN += ["--content-layers", "relu2_2", "--style-layers", "relu1_1,relu2_1", "--init", "noise", "--seed", "5"]
STEPS = 9
PROGRAM = "import sys; from fastconv.cli import main; sys.exit(main(sys.argv[1:], callback=callback))"


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


def losses(path):
    """Read what must not depend on the time that steps take."""
    return [
        (record["scale"], record["step"], record["loss"], record["content"], record["style"])
        for record in json.loads(path.read_text())["losses"]
    ]


def python(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def edit(path, change):
    """Change the JSON document of a checkpoint."""
    with np.load(path) as archive:
        arrays = dict(archive)
    document = json.loads(arrays["document"].tobytes())
    change(document)
    arrays["document"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)


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


# --- the promise --------------------------------------------------------------------------------------------

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


def test_lbfgs_has_no_checkpoint_before_its_first_search_has_ended(folder, saved, capsys):
    path = saved("--optimizer", "lbfgs")
    assert "no checkpoint: the first search of L-BFGS had not ended" in capsys.readouterr().err
    assert not path.exists()
    assert (folder / "out.png").exists()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("average", [None, 0.0, 0.9])
def test_a_state_goes_through_arrays_bit_for_bit(folder, random_weights, dtype, average):
    def transfer():
        options = {"size": 48, "steps": 4, "content_layers": ("relu1_2",), "style_layers": ("relu1_1",)}
        return Transfer("photo.png", "painting.png", weights=random_weights, dtype=dtype, average=average, **options)

    whole, half, other = transfer(), transfer(), transfer()
    list(whole)
    steps = iter(half)
    next(steps), next(steps)
    arrays = {name: array.copy() for name, array in to_arrays(half.snapshot()).items()}
    next(steps)  # changes the arrays of the snapshot, not the copies
    other.restore(from_arrays(arrays, half.snapshot().random))
    assert (other.snapshot().scale, other.snapshot().step) == (half.snapshot().scale, 2)
    assert len(list(other)) == 2
    np.testing.assert_array_equal(other.picture(), whole.picture())
    for name, array in to_arrays(other.snapshot()).items():
        if name == "losses":
            array, expected = (np.array(run.losses)[:, :-1] for run in (other, whole))  # but for their seconds
        else:
            expected = to_arrays(whole.snapshot())[name]
        np.testing.assert_array_equal(array, expected)


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


# --- what may differ, and what may not ----------------------------------------------------------------------


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


def test_a_previous_checkpoint_of_another_run_is_not_replaced(style, folder, capsys):
    (folder / "run.ckpt.previous").write_text("precious")
    assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt") == 5
    assert "run.ckpt.previous exists already" in capsys.readouterr().err
    assert (folder / "run.ckpt.previous").read_text() == "precious"


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


@pytest.fixture(autouse=True)
def _threads_as_before():
    threads = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(threads)


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


# --- what is wrong with files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["photo.png", "painting.png"])
def test_a_picture_that_has_changed_is_refused(style, folder, saved, capsys, name):
    saved()
    Image.new("RGB", (48, 32)).save(folder / name)
    assert style("--resume", "run.ckpt") == 2
    assert f"{folder / name} is not the picture that it was" in capsys.readouterr().err
    (folder / name).unlink()
    assert style("--resume", "run.ckpt") == 2
    assert f"{folder / name} does not exist" in capsys.readouterr().err


def test_other_weights_are_refused(style, saved, capsys):
    edit(saved(), lambda document: document["weights"].update(sha256="ab" * 32))
    assert style("--resume", "run.ckpt") == 3
    assert f"SHA-256 {'cd' * 32}, expected {'ab' * 32}" in capsys.readouterr().err


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(style, folder, undisturbed, capsys):
    assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt", "--save-every", 4) == 0
    path = folder / "run.ckpt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # one bit, in an array
    path.write_bytes(data)
    capsys.readouterr()
    assert style("--resume", "run.ckpt") == 0
    printed = capsys.readouterr().err
    assert f"going on from {previous(path)}, the one before it" in printed
    assert "8 of them done" in printed
    assert (folder / "out.png").read_bytes() == undisturbed[0]


def test_a_flipped_bit_in_a_header_is_a_damaged_checkpoint(style, folder):
    assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt") == 0
    whole = (folder / "run.ckpt").read_bytes()
    told = 0
    for at in (*range(400), *range(len(whole) - 400, len(whole))):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        (folder / "damaged").write_bytes(data)
        try:
            saved_runs._read(folder / "damaged")
        except saved_runs.CheckpointError:
            told += 1
    assert told > 200


def test_an_array_that_is_claimed_to_be_huge_is_a_damaged_checkpoint(style, folder, undisturbed, capsys):
    assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt", "--save-every", 4) == 0
    path = folder / "run.ckpt"
    data = path.read_bytes()
    shape = b"'shape': (1, 3, 64, 96), }" + 5 * b" "
    assert shape in data
    path.write_bytes(data.replace(shape, b"'shape': (999999999999999,), }".ljust(len(shape))))
    assert style("--resume", "run.ckpt") == 0
    assert f"going on from {previous(path)}, the one before it" in capsys.readouterr().err
    assert (folder / "out.png").read_bytes() == undisturbed[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no checkpoint"),
        (b"PK", "is no checkpoint"),
        (b"not an archive at all", "is no checkpoint"),
        (None, "does not exist"),
    ],
)
def test_what_is_no_checkpoint_is_refused(style, folder, capsys, content, message):
    if content is not None:
        (folder / "run.ckpt").write_bytes(content)
    assert style("--resume", "run.ckpt") == 2
    printed = capsys.readouterr().err
    assert f"run.ckpt {message}" in printed
    assert "pickle" not in printed  # NumPy's advice to trust a file is none to be passed on
    assert "Traceback" not in printed


def test_a_checkpoint_of_a_name_too_long(style, capsys):
    assert style("--resume", "n" * 300) == 2
    assert "File name too long" in capsys.readouterr().err


def test_other_archives_are_refused(style, folder, saved, capsys):
    for arrays in ({"losses": np.zeros(3)}, {"document": np.frombuffer(b"[1]", np.uint8)}):
        np.savez(folder / "other.npz", **arrays)
        assert style("--resume", "other.npz") == 2
        assert "other.npz is no checkpoint" in capsys.readouterr().err
    path = saved()
    edit(path, lambda document: document.update(format=99))
    assert style("--resume", path) == 2
    assert "format 99; this version of fastconv reads 1" in capsys.readouterr().err
    edit(path, lambda document: document.update(format=1) or document["options"].update(magic=True))
    assert style("--resume", path) == 2
    assert "options that this version lacks: magic" in capsys.readouterr().err


def test_no_pickle_is_read(folder, style, capsys):
    np.savez(folder / "run.ckpt.npz", document=np.array([{}], object))
    assert style("--resume", "run.ckpt.npz") == 2


# --- pictures on the way ------------------------------------------------------------------------------------


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


def test_a_checkpoint_is_written_once_a_minute(style, folder, monkeypatch):
    now, writes = [0.0], []
    write = Checkpoint.write

    def slow(step):
        now[0] += 25.0

    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Checkpoint, "write", lambda self, frames: writes.append(now[0]) or write(self, frames))
    assert style(*RUN, "-o", "out.png", "--checkpoint", "run.ckpt", "--quiet", callback=slow) == 0
    assert writes == [75.0, 150.0, 225.0, 225.0]


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
