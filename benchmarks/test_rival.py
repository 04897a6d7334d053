"""The rival's objective, written in PyTorch, against ours: but for two weights it is what `best` minimises."""

import numpy as np
import pytest
from PIL import Image

from fastconv.nn.vgg import VGG19
from fastconv.style.objective import Objective
from fastconv.style.presets import options_of
from fastconv.style.scales import plan_scales

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
