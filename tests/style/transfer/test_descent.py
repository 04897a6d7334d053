"""The loop over the steps: where it goes, alone, in tiles, and when it blows up."""

from itertools import islice

import numpy as np
import pytest

from fastconv.style import Transfer
from fastconv.style.algorithm.canvas import to_planes
from fastconv.style.algorithm.objective import Objective
from fastconv.style.algorithm.options import SMALLEST_TILE
from fastconv.style.images import load

from ..helpers import noise
from ..torch_reference import torch_loss


def test_ten_steps_agree_with_pytorch(torch, pictures, thin):
    content, style, _ = pictures
    start = np.clip(content + np.random.default_rng(5).normal(size=content.shape), 0, 255)
    transfer = Transfer(content, style, weights=thin, init=start, steps=10, average=0, min_scale=48, dtype="float64")
    for _ in transfer:
        pass

    image = torch.from_numpy(to_planes(start.astype(np.float32), "float64")).requires_grad_()
    planes = [torch.from_numpy(to_planes(picture, "float64")) for picture in (content, style)]
    total = torch_loss(torch, thin.layers, planes[0], planes[1:], transfer.options)
    adam = torch.optim.Adam([image], lr=transfer.options.learning_rate, betas=transfer.options.betas)
    for _ in range(10):
        adam.zero_grad()
        total(image).backward()
        adam.step()
        with torch.no_grad():
            image.clamp_(0, 255)
    theirs = image.detach().numpy()[0].transpose(1, 2, 0)
    assert np.abs(theirs - start).max() > 10  # it went somewhere
    ours = transfer.picture()
    assert np.abs(ours - theirs).max() < 0.01


def test_the_losses_fall_at_every_scale(run):
    result = run(size=64, enlarge=True, min_scale=40, steps=12)
    assert {record.scale for record in result.losses} == {48, 64}
    for scale in (48, 64):
        losses = [record.loss for record in result.losses if record.scale == scale]
        assert losses[-1] < 0.8 * losses[0]


def test_to_iterate_again_goes_on(thin, pictures, run):
    whole = run(size=64, enlarge=True, min_scale=40, steps=3)
    transfer = Transfer(*pictures[:2], weights=thin, size=64, enlarge=True, min_scale=40, steps=3)
    steps = []
    for count in (2, 4, 1, 99):
        steps += islice(transfer, count)
    assert [(step.scale, step.step) for step in steps] == [(record.scale, record.step) for record in whole.losses]
    np.testing.assert_array_equal(transfer.result().image, whole.image)


def test_lbfgs_goes_lower_than_adam_in_as_many_steps(run):
    options = {"size": 48, "min_scale": 48, "steps": 40, "total_variation": 0, "pooling": "average"}
    adam, lbfgs = (run(optimizer=name, **options).losses for name in ("adam", "lbfgs"))
    assert len(lbfgs) == 40
    assert min(record.loss for record in lbfgs) < min(record.loss for record in adam)


def test_lbfgs_ends_with_the_best_picture_it_saw(thin, pictures):
    transfer = Transfer(*pictures[:2], weights=thin, size=48, min_scale=48, steps=30, optimizer="lbfgs")
    pictures_seen, losses = [], []
    for step in transfer:
        losses.append(step.loss)
        pictures_seen.append(transfer.picture())
    lowest = int(np.argmin(losses))
    np.testing.assert_array_equal(pictures_seen[-1], pictures_seen[lowest])
    assert transfer.result().rgb.min() >= 0


def test_lbfgs_runs_through_the_scales(run):
    result = run(size=64, enlarge=True, min_scale=40, steps=6, optimizer="lbfgs")
    for scale in (48, 64):
        losses = [record.loss for record in result.losses if record.scale == scale]
        assert min(losses) < losses[0]


def test_a_run_that_blows_up_is_told(run):
    said = []
    with pytest.raises(
        FloatingPointError, match=r"pixels reached .* at 48 px after step \d; try a learning_rate below"
    ):
        run(clip=False, learning_rate=1e30, min_scale=48, steps=9, log=said.append)
    assert len(said) == 5
    assert all("a step back, and on with a learning_rate of" in message for message in said)


def test_a_run_that_blows_up_once_goes_on(run, monkeypatch):
    options = {"min_scale": 48, "steps": 8, "average": 0, "total_variation": 0}
    broken = iter([False, False, False, True])
    undisturbed = Objective.__call__

    def disturbed(self, image):
        losses, gradient = undisturbed(self, image)
        if next(broken, False):
            return losses, gradient * np.float32(np.nan)
        return losses, gradient

    monkeypatch.setattr(Objective, "__call__", disturbed)
    with pytest.warns(RuntimeWarning, match=r"at 48 px after step 3: a step back, and on with a learning_rate of 2.5"):
        result = run(**options, learning_rate=10)
    losses = [record.loss for record in result.losses]
    assert len(losses) == 8
    assert losses[3] == losses[2]  # evaluated again, where the run went back to
    assert losses[-1] < losses[2]


def test_a_run_in_tiles_ends_at_the_picture_of_one_without(thin):
    content, style = noise(344, 410), noise(330, 390, 1)
    mask = np.uint8(255) * (np.arange(410) > 200) * np.ones((344, 1), np.uint8)
    how = {"weights": thin, "size": 410, "min_scale": 290, "steps": 3, "masks": [mask], "learning_rate": 2}
    pictures = {}
    for tile in (0, SMALLEST_TILE):
        transfer = Transfer(content, style, tile=tile, **how)
        assert transfer.settings["tile"] == tile
        assert [scale.long_side for scale in transfer.plan.scales] == [288, 410]
        for _ in transfer:
            pass
        pictures[tile] = transfer.picture()
    assert np.abs(pictures[SMALLEST_TILE] - pictures[0]).mean() < 0.05
    assert np.any(pictures[SMALLEST_TILE] != pictures[0])


@pytest.mark.slow
def test_twenty_steps(real_weights, shared_data):
    """In float32 Adam multiplies rounding: runs part by grey levels, whether or not there are tiles."""
    names = "coffee.png", "starry_night_google.jpg"
    pictures = [load(shared_data / "images" / name).resized((384, 384)).rgb for name in names]

    def picture(dtype, tile):
        transfer = Transfer(*pictures, weights=real_weights, size=384, min_scale=384, steps=20, dtype=dtype, tile=tile)
        for _ in transfer:
            pass
        return transfer.picture().astype(np.float64)

    def difference(a, b):
        return np.abs(a - b).mean()  # grey levels

    exact = picture("float64", 0)
    assert difference(picture("float64", SMALLEST_TILE), exact) < 0.05
    rounded = picture("float32", 0)
    assert difference(picture("float32", SMALLEST_TILE), rounded) < 1.5 * difference(rounded, exact)
