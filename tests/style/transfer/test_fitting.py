"""What is done when a transfer does not fit into memory."""

import numpy as np
import pytest

from fastconv import weights as vgg_weights
from fastconv.style import MemoryLimitError, Options, Transfer
from fastconv.style.algorithm.scales import Scale
from fastconv.style.transfer.fitting import choose_tile
from fastconv.style.transfer.work import flop_of_step

from .helpers import GB, LARGE, STYLES, need


def test_what_fits_has_no_tiles_and_the_rest_the_largest_that_fit():
    assert choose_tile(LARGE, STYLES, Options(max_memory=need())) == 0
    for limit in (need() - 1, 4 * GB, 3 * GB):
        tile = choose_tile(LARGE, STYLES, Options(max_memory=limit))
        assert need(tile=tile) <= limit
        # A layout may need less than its tile allows, so that one a little larger would fit, too.
        assert all(need(tile=side) > limit for side in range(round(1.05 * tile), 4000, 16))


def test_more_memory_never_makes_more_work():
    work = []
    for limit in range(3 * GB, 24 * GB, GB // 2):
        tile = choose_tile(LARGE, STYLES, Options(max_memory=limit))
        work.append(flop_of_step(LARGE, Options(), tile or None))
    assert work == sorted(work, reverse=True)
    assert work[0] > work[-1]


def test_what_does_not_fit_in_tiles_is_refused_and_told_a_size_that_fits():
    options = Options(max_memory="2GB")
    with pytest.raises(
        MemoryLimitError, match=r"4000x3000 px needs about .* GB of memory even in tiles, 2\.0 GB .*: size \d+ fits"
    ) as refusal:
        choose_tile(LARGE, STYLES, options)
    smaller = int(str(refusal.value).split()[-2])

    def scaled(long_side):
        return [
            (round(height * long_side / 4000), round(width * long_side / 4000)) for height, width in [LARGE, *STYLES]
        ]

    size, *styles = scaled(smaller)
    assert choose_tile(size, styles, options) > 0
    size, *styles = scaled(smaller + 16)
    with pytest.raises(MemoryLimitError):
        choose_tile(size, styles, options)
    with pytest.raises(MemoryLimitError, match="no size fits"):
        choose_tile(LARGE, STYLES, Options(max_memory=1_000_000))


def test_lbfgs_and_a_tile_that_was_chosen_leave_no_choice():
    with pytest.raises(MemoryLimitError, match=r"GB of memory, 4\.0 GB can be used"):
        choose_tile(LARGE, STYLES, Options(max_memory="4GB", optimizer="lbfgs"))
    assert choose_tile(LARGE, STYLES, Options(max_memory="4GB", tile=400)) == 400
    for tile in (0, 2400):
        with pytest.raises(MemoryLimitError, match=r"GB of memory, 4\.0 GB can be used: size \d+ fits"):
            choose_tile(LARGE, STYLES, Options(max_memory="4GB", tile=tile))


def test_a_transfer_takes_tiles_when_memory_is_short(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    layers = {
        f"conv{block}_{n}": (rng.normal(size=(2, 3 if (block, n) == (1, 1) else 2, 3, 3)).astype(np.float32),) * 1
        + (np.zeros(2, np.float32),)
        for block, count in enumerate((2, 2, 4, 4, 4), start=1)
        for n in range(1, count + 1)
    }
    weights = vgg_weights.VGGWeights(layers, "random", "ab" * 32, tmp_path / "none.npz", exact=True)
    picture = rng.uniform(0, 255, (600, 800, 3)).astype(np.float32)
    limit = 650_000_000
    transfer = Transfer(picture, picture, weights=weights, size=800, max_memory=limit)
    assert 320 <= transfer.plan.tile < 693
    assert transfer.settings["tile"] == transfer.plan.tile
    assert transfer.plan.layout(transfer.plan.scales[-1]).tiles > 1
    assert transfer.plan.layout(Scale(96, 128, 1)).tiles == 1
    assert transfer.plan.memory <= limit
    with pytest.raises(MemoryLimitError, match="size"):
        Transfer(picture, picture, weights=weights, size=800, max_memory="100M")
