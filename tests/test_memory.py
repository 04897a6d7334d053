"""How much memory there is, what a transfer is said to need, and what is done when that does not fit."""

import math
import tracemalloc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from fastconv import weights as vgg_weights
from fastconv.nn.vgg import VGG19
from fastconv.nn.wasserstein import Moments, add_moments_gradient
from fastconv.style import MemoryLimitError, OptionError, Options, Transfer
from fastconv.style.algorithm.lbfgs import LBFGS
from fastconv.style.algorithm.options import parse_memory
from fastconv.style.algorithm.scales import Scale
from fastconv.style.algorithm.tiles import lay_out
from fastconv.style.images import save
from fastconv.style.report.film import Frame, to_jpeg
from fastconv.style.report.movie import write_movie
from fastconv.style.transfer import cost, memory
from fastconv.weights.model import KERNEL_SHAPES

GB = 1_000_000_000
LARGE = (3000, 4000)
STYLES = [(1000, 1300)]


def need(size=LARGE, tile=0, styles=STYLES, **options):
    return cost.estimate(size, styles, Options(**options), tile or None)


# --- estimates -----------------------------------------------------------------------------------------------


def test_the_estimate_grows_with_the_pictures():
    small, large = need((256, 256)), need((512, 512))
    assert small < large < 4 * small
    assert cost.estimate((256, 256), [(4000, 4000)], Options(), None) > large
    loaded = cost.Loaded(nbytes=1000)
    assert cost.estimate((256, 256), STYLES, Options(), None, loaded) == small + 1000


def test_the_estimate_knows_tiles_layers_and_masks():
    assert need(tile=512) < need(tile=1024) < need() / 2
    pixels = math.prod(LARGE)
    assert need(content_layers=("relu1_1",)) - need(content_layers=("relu4_2",)) > 400 * pixels  # targets, differences
    assert need(style_layers=("relu1_2", "relu5_1")) > need(style_layers=("relu5_1",)) + 200 * pixels
    assert need(masks=[np.ones((4, 4))]) > need() + 4 * pixels


def test_a_precision_doubles_arrays_and_not_the_program():
    single, double = need(min_scale=4000), need(min_scale=4000, dtype="float64")
    # Traces are of bytes.
    traces = 70 * math.prod(LARGE)
    assert double - traces - cost.PROCESS == pytest.approx(2 * (single - traces - cost.PROCESS), rel=0.01)
    small = {"size": (128, 128), "styles": [(128, 128)]}
    assert need(**small, dtype="float64") < 1.6 * need(**small)


def test_shallow_layers_need_few_weights():
    shallow = {"content_layers": ("relu2_2",), "style_layers": ("relu1_1",)}
    deepest = 4 * 512 * 512 * 9  # bytes of conv5_1, as of three other layers
    small = {"size": (64, 64), "styles": [(64, 64)]}
    assert need(**small, **shallow) + 4 * 4 * deepest < need(**small)


def test_a_run_of_several_scales_needs_more_than_its_last_one():
    # Traces, and the smaller one of the arrays that are used by turns; the others are large, and given back.
    assert need((512, 512)) - need((512, 512), min_scale=512) == (70 + 4 * 16) * 368**2
    assert need((9000, 9000)) - need((9000, 9000), min_scale=9000) == 8 * cost.LARGEST_IN_HEAP


def test_each_style_has_its_matrices_and_with_masks_its_share_of_the_picture():
    def of(count, **options):
        return need((64, 64), styles=[(64, 64)] * count, **options)

    entries = sum(channels**2 for channels in (64, 128, 256, 512, 512))
    masks = [np.ones((4, 4))] * 3
    assert of(3) - of(1) == 2 * 4 * entries
    assert of(3, masks=masks) - of(3) > 2 * 16 * entries
    assert of(3, loss="wasserstein") - of(1, loss="wasserstein") == 2 * (4 + 8) * entries


def test_lbfgs_needs_what_was_measured():
    pixels = math.prod(LARGE)
    assert need(optimizer="lbfgs") - need() >= 800 * pixels
    assert need(optimizer="lbfgs", clip=False) < need(optimizer="lbfgs") - 100 * pixels


def test_large_photographs_take_memory_when_the_result_is_written():
    def of(pixels, **options):
        loaded = cost.Loaded(nbytes=12 * pixels, largest=pixels, content=pixels)
        return cost.estimate((256, 256), [(256, 256)], Options(**options), None, loaded)

    photograph = 36_000_000
    assert of(photograph) - of(0) > (12 + 7) * photograph
    assert of(photograph, restore_size=True) - of(0) > (12 + 40) * photograph
    assert (
        of(photograph, restore_size=True, preserve_colors="luma") - of(photograph, restore_size=True) == 12 * photograph
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {"style_layers": ("relu1_1", "relu3_1"), "content_layers": ("relu2_2",)},
        {"style_layers": ("relu1_2", "pool2"), "content_layers": ("relu2_1",)},
        {"style_layers": ("relu1_1",), "content_layers": ("pool2",), "pooling": "average"},
        {"style_layers": ("relu2_1",), "alpha": 0, "pooling": "average"},
        {"style_layers": ("relu1_1",), "alpha": 0},
    ],
)
def test_the_networks_arrays_are_as_large_as_is_counted(dtype, options):
    options = Options(dtype=dtype, **options)
    layers = options.compared_layers()
    weights = {name: (np.zeros(shape), np.zeros(shape[0])) for name, shape in KERNEL_SHAPES.items()}
    network = VGG19(weights, dtype=dtype, pooling=options.pooling, padding="replicate")
    side = 64
    for _ in network.walk(np.zeros((1, 3, side, side)), layers):
        pass
    buffers = network._buffers
    arrays = [*buffers._turns, buffers._features, *buffers._traces.values()]
    assert sum(array.nbytes for array in arrays) == cost.pass_bytes((side, side), options).total
    packed = [convolution._transformed.nbytes for convolution in network._convolutions.values()]
    assert sum(packed) == pytest.approx(cost._of_weights(options), rel=0.07, abs=1e6)


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


# --- what is held at a time ----------------------------------------------------------------------------------


@contextmanager
def traced():
    """Count what Python and NumPy allocate; the list that is given gets the peak, in bytes."""
    peak = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bounds", [(0, 255), None])
def test_lbfgs_holds_what_is_counted(bounds):
    pytest.importorskip("scipy.optimize")  # which is not to be counted
    pixels = 100 * 100
    factors = np.linspace(1, 5, 3 * pixels)
    with traced() as peak:
        optimizer = LBFGS(np.zeros(3 * pixels, np.float32), 10.0, bounds=bounds)
        for _ in range(12):
            away = optimizer.parameter - 100
            optimizer.step(float(factors @ away**2), 2 * factors * away)
    counted = cost.SEARCH + (cost.BOUNDS if bounds else 0) + 4 * 3 * 2
    assert peak[0] == pytest.approx(counted * pixels, rel=0.15)


def test_a_picture_of_whole_numbers_is_written_without_large_copies(tmp_path):
    pixels = np.zeros((600, 500, 3), np.uint8)
    with traced() as peak:
        save(tmp_path / "out.png", pixels)
    assert peak[0] < 35 * 600 * 500


def test_masked_moments_need_no_array_as_large_as_features():
    features = np.ones((1, 64, 100, 100), np.float32)
    slope = Moments(np.ones(64), np.zeros((64, 64)))
    mask, total = np.ones((100, 100), np.float32), np.zeros_like(features)
    add_moments_gradient(features, slope, total, mask)  # compiled, with its scratch memory at hand
    with traced() as peak:
        add_moments_gradient(features, slope, total, mask)
    assert peak[0] < features.nbytes / 2


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_a_film_is_written_with_few_of_its_pictures_in_memory(tmp_path, monkeypatch, name):
    if name.endswith("mp4"):
        pytest.importorskip("imageio_ffmpeg")
    side, count = 300, 30
    frames = [Frame(i, side, i, to_jpeg(Image.new("RGB", (side, side), (8 * i, 0, 0)), side, 90)) for i in range(count)]
    seen = []
    most = 0
    decode = Frame.image

    def image(frame):
        nonlocal most
        picture = decode(frame)
        seen.append(weakref.ref(picture))
        most = max(most, sum(reference() is not None for reference in seen))
        return picture

    monkeypatch.setattr(Frame, "image", image)
    with traced() as peak:
        write_movie(tmp_path / name, frames)
    assert most <= 3
    assert peak[0] < count / 3 * 3 * side**2


# --- choices -------------------------------------------------------------------------------------------------


def test_what_fits_has_no_tiles_and_the_rest_the_largest_that_fit():
    assert memory.choose_tile(LARGE, STYLES, Options(max_memory=need())) == 0
    for limit in (need() - 1, 4 * GB, 3 * GB):
        tile = memory.choose_tile(LARGE, STYLES, Options(max_memory=limit))
        assert need(tile=tile) <= limit
        # A larger one would have had a layout of which a tile does not fit.
        options, side = Options(), tile + 16
        pixels = side**2
        step = cost.without_tiles(LARGE, len(STYLES), options) + pixels * cost.per_seen_pixel(options)
        end = cost._held(LARGE, len(STYLES), options) + cost.pass_bytes((side, side), options).total
        end += cost.RESULT * math.prod(LARGE)
        assert max(step, end) + cost._of_former_scale(LARGE, options, tile) > limit


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
    limit = 650_000_000
    transfer = Transfer(picture, picture, weights=weights, size=800, max_memory=limit)
    assert 320 <= transfer.plan.tile < 693
    assert transfer.settings["tile"] == transfer.plan.tile
    assert transfer.plan.layout(transfer.plan.scales[-1]).tiles > 1
    assert transfer.plan.layout(Scale(96, 128, 1)).tiles == 1
    assert transfer.plan.memory <= limit
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
