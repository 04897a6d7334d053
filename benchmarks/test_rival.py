"""The rival's objective, written in PyTorch, against ours: but for two weights it is what `best` minimises."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from fastconv.nn.vgg import VGG19
from fastconv.style.algorithm.objective import Objective
from fastconv.style.algorithm.presets import PRESETS, options_of
from fastconv.style.algorithm.scales import plan_scales

from . import rival
from .style import BLOCKS

torch = pytest.importorskip("torch")

WIDTHS = (4, 6, 8, 8, 8)  # channels of a small network's blocks
PICTURE = (64, 96)  # multiples of 16, so that ours adds no margin


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Write a file of a small network, whose features are as large as the real one's."""
    rng = np.random.default_rng(0)
    arrays, channels = {}, 3
    for block, (count, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True), start=1):
        for n in range(1, count + 1):
            scale = np.sqrt(2 / (9 * channels))
            arrays[f"conv{block}_{n}.weight"] = rng.normal(0, scale, (width, channels, 3, 3)).astype(np.float32)
            arrays[f"conv{block}_{n}.bias"] = rng.normal(0, 5, width).astype(np.float32)
            channels = width
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def pictures(tmp_path):
    """Write files of a content and a style picture, and give a third one as an array."""
    rng = np.random.default_rng(1)
    # Smooth, since the two total variations differ at the picture's edges.
    coarse = (Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)) for _ in range(3))
    arrays = [np.asarray(picture.resize(PICTURE[::-1])) for picture in coarse]
    paths = tmp_path / "content.png", tmp_path / "style.png"
    for path, array in zip(paths, arrays[:2], strict=True):
        Image.fromarray(array).save(path)
    return *paths, arrays[2]


def planes(rgb):
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32)


def planes_of(path):
    return planes(np.asarray(rival.read(path)))


def test_with_its_weights_the_preset_minimises_what_the_rival_does(weights, pictures):
    content, style, result = pictures
    with np.load(weights) as archive:
        names = {key.partition(".")[0] for key in archive.files}
        layers = {name: (archive[f"{name}.weight"], archive[f"{name}.bias"]) for name in names}
    options = options_of("best", {"beta": 1.0, "total_variation": rival.SMOOTHNESS / 255**2})
    network = VGG19(layers, padding=options.padding)
    ours = Objective(network, planes_of(content), [planes_of(style)], options)
    theirs = rival.objective_at(rival.Network(weights), content, style, max(PICTURE), rival.exact_root)
    losses, _ = ours(planes(result))
    assert theirs(torch.from_numpy(planes(result) / 255)).item() == pytest.approx(losses.total, rel=1e-3)


def test_the_preset_takes_the_rivals_steps_and_scales():
    options = options_of("best", {})
    plan = plan_scales((512, 512), min_scale=options.min_scale, steps=options.steps)
    assert [scale.long_side for scale in plan] == pytest.approx(rival.scales(512), abs=8)  # ours are multiples of 16
    assert [scale.steps for scale in plan] == [2 * rival.STEPS] + [rival.STEPS] * 4
    assert options.learning_rate == pytest.approx(255 * rival.LEARNING_RATE)
    assert (options.betas, options.average) == (rival.BETAS, rival.AVERAGE)


def test_roots_by_iteration_are_roots_and_their_gradients_too():
    rng = np.random.default_rng(2)
    factor = torch.from_numpy(rng.normal(size=(6, 24)))
    weights = torch.from_numpy(rng.normal(size=(6, 6)))
    found = []
    for take_root in (rival.root, rival.exact_root):
        matrix = (factor @ factor.T).requires_grad_()
        value = take_root(matrix)
        (value * (weights + weights.T)).sum().backward()
        found.append((value.detach().numpy(), matrix.grad.numpy()))
    for iterated, exact in zip(*found, strict=True):
        np.testing.assert_allclose(iterated, exact, rtol=1e-6, atol=1e-6)


def test_the_rival_comes_closer_to_its_aim(weights, pictures):
    content, style, _ = pictures
    painted, steps = rival.paint_with_torch(content, style, 192, weights, 3)
    assert steps == 6 + 3
    assert painted.shape == (128, 192, 3)
    objective = rival.objective_at(rival.Network(weights), content, style, 192)
    with torch.no_grad():
        begun, done = (
            objective(rival.tensor(Image.fromarray(rgb), 192, enlarge=True)).item()
            for rgb in (np.asarray(rival.read(content)), painted)
        )
    assert done < begun


@pytest.fixture
def paintings(monkeypatch):
    """Let the processes that paint be calls, which make a black picture; give a list of the steps of each."""
    calls = []

    def paint(content, style, size, weights, steps):
        calls.append(steps)
        return np.zeros((4, 6, 3), np.uint8), steps

    def run(command, check):
        assert command[:3] == [sys.executable, "-m", "benchmarks.rival"]
        arguments = rival._parser().parse_args(command[3:])
        rival.run_alone(arguments.alone, arguments)

    for name in ("paint_with_torch", "paint_with_fastconv"):
        monkeypatch.setattr(rival, name, paint)
    for module in ("torch", "fastconv"):
        monkeypatch.setattr(f"{module}.set_num_threads", lambda number: None)
    monkeypatch.setattr(rival.subprocess, "run", run)
    return calls


@pytest.fixture
def arguments(pictures, tmp_path):
    weights = tmp_path / "weights.npz"
    weights.write_bytes(b"weights")
    options = ["--weights", str(weights), "--folder", str(tmp_path), "--steps", "3", "--threads", "1"]
    return rival._parser().parse_args([*map(str, pictures[:2]), *options])


def change(monkeypatch, arguments, side, what):
    """Make one thing another than it was."""
    if what in ("threads", "steps"):
        setattr(arguments, what, 7)
    elif what == "version":
        monkeypatch.setattr("fastconv.__version__" if side == rival.OURS else "torch.__version__", "99")
    elif what == "preset":
        monkeypatch.setitem(PRESETS, "best", {**PRESETS["best"], "beta": 99.0})
    else:
        path = rival.picture_of(side, arguments) if what == "result" else getattr(arguments, what)
        path.write_bytes(b"something else")


@pytest.mark.parametrize("side", [rival.OURS, rival.RIVAL])
def test_what_is_there_is_not_painted_again(arguments, paintings, capsys, side):
    first, second = (rival.ensure_painted(side, arguments) for _ in range(2))
    assert first == second
    assert paintings == [3]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("what", ["threads", "steps", "version", "content", "style", "weights", "result"])
@pytest.mark.parametrize("side", [rival.OURS, rival.RIVAL])
def test_what_was_made_otherwise_is_painted_again(monkeypatch, arguments, paintings, capsys, side, what):
    rival.ensure_painted(side, arguments)
    change(monkeypatch, arguments, side, what)
    assert rival.ensure_painted(side, arguments).steps == arguments.steps
    assert len(paintings) == 2
    record = rival.record_of(side, arguments)
    assert capsys.readouterr().out == f"  {side} paints again, since these differ from {record}: {what}\n"
    assert rival.ensure_painted(side, arguments).steps == arguments.steps
    assert len(paintings) == 2


@pytest.mark.parametrize(("side", "count"), [(rival.OURS, 2), (rival.RIVAL, 1)])
def test_another_preset_matters_to_the_side_that_has_it(monkeypatch, arguments, paintings, side, count):
    rival.ensure_painted(side, arguments)
    change(monkeypatch, arguments, side, "preset")
    rival.ensure_painted(side, arguments)
    assert len(paintings) == count


def test_a_record_that_does_not_say_how_is_not_trusted(arguments, paintings):
    rival.record_of(rival.OURS, arguments).write_text(json.dumps({"cpu": 1.0, "steps": 2}))
    assert rival.ensure_painted(rival.OURS, arguments).steps == 3
