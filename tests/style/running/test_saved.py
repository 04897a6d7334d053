"""Checkpoints that are read: another picture, other weights, or damage is told."""

import numpy as np
import pytest
from PIL import Image

from fastconv import weights as vgg_weights
from fastconv.style import Options, Transfer
from fastconv.style.running import checkpoint
from fastconv.style.running import saved as saved_runs
from fastconv.style.running.checkpoint import previous
from fastconv.style.transfer import memory
from fastconv.weights import converted

from ..helpers import noise
from .helpers import RUN, edit


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


def test_a_run_in_tiles_that_was_stopped_ends_at_the_same_picture(small_network, tmp_path):
    path = tmp_path / "weights.npz"
    converted.write(vgg_weights.VGGWeights(small_network, "random", "cd" * 32, path, exact=True), path)
    content, style = (noise(360, 420, seed).round() for seed in (0, 1))
    how = {"weights": path, "size": 420, "min_scale": 290, "steps": 2}
    whole = Transfer(content, style, tile=0, **how).plan.memory
    how["max_memory"] = whole - 20_000 * int(memory.per_seen_pixel(Options()))  # of 160 000 pixels
    undisturbed = Transfer(content, style, **how)
    for _ in undisturbed:
        pass
    stopped = Transfer(content, style, **how)
    assert stopped.plan.layout(stopped.plan.scales[-1]).tiles > 1
    keeper = checkpoint.Checkpoint(tmp_path / "run.ckpt", stopped, content, [style], {})
    steps = iter(stopped)
    for _ in range(5):
        next(steps)
    keeper.note()
    assert keeper.write()

    saved = saved_runs.read(tmp_path / "run.ckpt", print)
    assert saved.document["options"]["tile"] == stopped.plan.tile  # whatever memory there is when it goes on
    resumed = saved.transfer()
    assert resumed.plan.tile == stopped.plan.tile
    assert len(list(resumed)) == 1
    np.testing.assert_array_equal(resumed.picture(), undisturbed.picture())
