"""How much memory there is, what a transfer is said to need, and what is done when that does not fit."""

import math

import numpy as np
import pytest

from fastconv import weights as vgg_weights
from fastconv.style import MemoryLimitError, OptionError, Options, Transfer, cost, memory
from fastconv.style.options import parse_memory
from fastconv.style.scales import Scale
from fastconv.style.tiles import lay_out

GB = 1_000_000_000
LARGE = (3000, 4000)
STYLES = [(1000, 1300)]


def need(size=LARGE, tile=0, **options):
    return cost.estimate(size, STYLES, Options(**options), tile or None)


# --- estimates -----------------------------------------------------------------------------------------------


def test_the_estimate_grows_with_the_picture_and_the_precision():
    small, large = need((256, 256)), need((512, 512))
    assert small < large < 4 * small
    assert need((256, 256), dtype="float64") == 2 * small
    assert cost.estimate((256, 256), [(4000, 4000)], Options(), None) > large
    assert cost.estimate((256, 256), STYLES, Options(), None, loaded=1000) == small + 1000 * cost.PER_LOADED_PIXEL


def test_the_estimate_knows_tiles_layers_masks_and_lbfgs():
    assert need(tile=512) < need(tile=1024) < need() / 2
    pixels = math.prod(LARGE)
    assert need(content_layers=("relu1_1",)) - need(content_layers=("relu4_2",)) > 150 * pixels
    assert need(style_layers=("relu1_2", "relu5_1")) > need(style_layers=("relu5_1",)) + 200 * pixels
    assert need(optimizer="lbfgs") - need() >= 360 * pixels
    assert need(masks=[np.ones((4, 4))]) > need() + 4 * pixels


def test_the_work_of_a_step_is_that_of_its_convolutions():
    # conv1_1 there and back, in multiplications and additions, and a Gram matrix of 64 channels there and back.
    positions = 64 * 48
    only = Options(content_layers=(), style_layers=("relu1_1",))
    assert cost.flop_of_step((64, 48), only, None) == positions * 2 * (2 * 64 * 27 + 2 * 64 * 64)
    # VGG-19 down to conv5_1, at 224 px, takes 36.2 GFLOP, and as many on the way back.
    deep = Options(content_layers=("relu5_1",), beta=0)
    assert cost.flop_of_step((224, 224), deep, None) == pytest.approx(2 * 36.2e9, rel=0.01)


def test_tiles_go_forward_twice_but_for_the_last():
    options = Options(content_layers=("relu5_1",), beta=0)
    layout = lay_out((1024, 1024), ("relu5_1",), 640)
    one = cost.flop_of_step((layout.height, layout.width), options, None)
    assert layout.tiles == 4
    assert cost.flop_of_step((1024, 1024), options, 640) == pytest.approx(one / 2 * (3 * 4 - 1))


# --- choices -------------------------------------------------------------------------------------------------


def test_what_fits_has_no_tiles_and_the_rest_the_largest_that_fit():
    assert memory.choose_tile(LARGE, STYLES, Options(max_memory=need())) == 0
    for limit in (need() - 1, 4 * GB, 3 * GB):
        tile = memory.choose_tile(LARGE, STYLES, Options(max_memory=limit))
        assert need(tile=tile) <= limit
        # A larger one would have had a layout of which a tile does not fit.
        largest = cost.without_tiles(LARGE, Options()) + (tile + 16) ** 2 * cost.per_seen_pixel(Options())
        assert largest > limit


def test_more_memory_never_makes_more_work():
    work = []
    for limit in range(3 * GB, 24 * GB, GB // 2):
        tile = memory.choose_tile(LARGE, STYLES, Options(max_memory=limit))
        work.append(cost.flop_of_step(LARGE, Options(), tile or None))
    assert work == sorted(work, reverse=True)
    assert work[0] > work[-1]


def test_what_does_not_fit_in_tiles_is_refused_and_told_a_size_that_fits():
    options = Options(max_memory="2GB")
    with pytest.raises(
        MemoryLimitError, match=r"4000x3000 px needs about .* GB of memory even in tiles, 2\.0 GB .*: size \d+ fits"
    ) as refusal:
        memory.choose_tile(LARGE, STYLES, options)
    smaller = int(str(refusal.value).split()[-2])

    def scaled(long_side):
        return [
            (round(height * long_side / 4000), round(width * long_side / 4000)) for height, width in [LARGE, *STYLES]
        ]

    size, *styles = scaled(smaller)
    assert memory.choose_tile(size, styles, options) > 0
    size, *styles = scaled(smaller + 16)
    with pytest.raises(MemoryLimitError):
        memory.choose_tile(size, styles, options)
    with pytest.raises(MemoryLimitError, match="no size fits"):
        memory.choose_tile(LARGE, STYLES, Options(max_memory=1_000_000))


def test_lbfgs_and_a_tile_that_was_chosen_leave_no_choice():
    with pytest.raises(MemoryLimitError, match=r"GB of memory, 4\.0 GB can be used"):
        memory.choose_tile(LARGE, STYLES, Options(max_memory="4GB", optimizer="lbfgs"))
    assert memory.choose_tile(LARGE, STYLES, Options(max_memory="4GB", tile=400)) == 400
    for tile in (0, 2400):
        with pytest.raises(MemoryLimitError, match=r"GB of memory, 4\.0 GB can be used: size \d+ fits"):
            memory.choose_tile(LARGE, STYLES, Options(max_memory="4GB", tile=tile))


def test_by_default_a_share_of_what_is_free_is_used(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10 * GB)
    held = memory.limit_of(Options()) / 0.8 - 10 * GB
    assert 50_000_000 < held < 5 * GB  # what this process holds already
    assert memory.limit_of(Options(max_memory="10 GB")) == 10 * GB


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
    limit = cost.FIXED + 250_000_000
    transfer = Transfer(picture, picture, weights=weights, size=800, max_memory=limit)
    assert 320 <= transfer.tile < 693
    assert transfer.settings["tile"] == transfer.tile
    assert transfer.layout(transfer.plan[-1]).tiles > 1
    assert transfer.layout(Scale(96, 128, 1)).tiles == 1
    assert transfer.memory_needed <= limit
    with pytest.raises(MemoryLimitError, match="size"):
        Transfer(picture, picture, weights=weights, size=800, max_memory="100M")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        (1234, 1234),
        ("1234", 1234),
        ("4GB", 4 * GB),
        ("4g", 4 * GB),
        ("1.5 GB", 1_500_000_000),
        ("500M", 500_000_000),
        ("2GiB", 2 << 30),
        ("1T", 1000 * GB),
        ("3Kib", 3072),
    ],
)
def test_memory_is_bytes_or_has_a_unit(text, expected):
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["", "x", "4 apples", "-1", -1, 0, "0G", "80%", True, 1e9, "1e9"])
def test_memory_without_meaning_is_refused(text):
    with pytest.raises(OptionError, match=r"max_memory must be a number of bytes above 0, .* got"):
        Options(max_memory=text)


# --- what there is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "files", "folder"),
    [
        ("0::/a/b", ("memory.max", "memory.current", "inactive_file"), ""),
        (
            "4:cpu,memory:/a/b",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
            "memory",
        ),
    ],
)
def test_limits_of_control_groups_count(tmp_path, monkeypatch, line, files, folder):
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_CGROUPS", tmp_path / "own")
    (tmp_path / "own").write_text(f"9:cpu:/elsewhere\n{line}\n")
    limit_file, usage_file, cached = files
    for group, limit in (("a/b", "max"), ("a", "7000000")):  # the inner one has none of its own
        path = tmp_path / folder / group
        path.mkdir(parents=True, exist_ok=True)
        (path / limit_file).write_text(limit)
        (path / usage_file).write_text("5000000")
        (path / "memory.stat").write_text(f"anon 1\n{cached} 1000000\n")
    assert memory.available() == 3_000_000


def test_memory_is_known_without_control_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "OWN_CGROUPS", tmp_path / "none")
    assert memory.available() > 1_000_000
