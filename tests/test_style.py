"""Style transfer: sizes and averages, the loss against PyTorch, and the run from coarse to fine."""

import inspect
import json
from dataclasses import asdict, fields
from itertools import islice, pairwise

import numpy as np
import pytest
from PIL import Image

from fastconv import weights as vgg_weights
from fastconv.nn.optim import Adam
from fastconv.nn.vgg import LAYERS, VGG19
from fastconv.style import (
    ImageError,
    OptionError,
    Options,
    Result,
    Step,
    Transfer,
    iterate,
    stylize,
)
from fastconv.style.algorithm.averaging import RunningAverage, average_decay
from fastconv.style.algorithm.canvas import to_canvas, to_picture, to_planes, to_uint8
from fastconv.style.algorithm.objective import Objective
from fastconv.style.algorithm.optimizers import resume_moments
from fastconv.style.algorithm.options import layer_weights, parse_size
from fastconv.style.algorithm.presets import PRESETS
from fastconv.style.algorithm.scales import (
    Scale,
    plan_scales,
    style_size,
    target_size,
)
from fastconv.style.images.colors import color_moments, luma, match_colors

MEAN = (123.68, 116.779, 103.939)


def vgg(widths=(6, 8, 8, 6, 5), dtype=np.float32):
    """Random weights that keep the features' variance from layer to layer."""
    rng = np.random.default_rng(7)
    layers, channels = {}, 3
    for name in (layer.weights for layer in LAYERS if layer.weights):
        width = widths[int(name[4]) - 1]
        weight = rng.normal(0, np.sqrt(2 / (9 * channels)), (width, channels, 3, 3))
        layers[name] = weight.astype(dtype), rng.normal(0, 0.1, width).astype(dtype)
        channels = width
    return layers


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "none.npz"
    return vgg_weights.VGGWeights(vgg(), "random", "ab" * 32, path, exact=True)


@pytest.fixture(scope="module")
def pictures():
    """A photograph and two paintings: coarse colours, and noise without which poolings meet ties."""
    rng = np.random.default_rng(3)

    def picture(height, width):
        coarse = np.kron(rng.uniform(0, 255, (4, 4, 3)), np.ones((-(-height // 4), -(-width // 4), 1)))
        noisy = coarse[:height, :width] + rng.normal(size=(height, width, 3))
        return np.clip(noisy, 0, 255).astype(np.float32)

    return picture(32, 48), picture(40, 40), picture(36, 30)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


# --- options and sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"), [(512, None), ("512", None), ("320x192", (192, 320)), ("320X192", (192, 320))]
)
def test_a_size_is_a_long_side_or_width_by_height(size, expected):
    assert parse_size(size) == expected


@pytest.mark.parametrize("size", [15, 0, -5, True, 51.2, "x", "320x", "axb", "1x2x3", "", "320x8", "³²"])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(OptionError, match=r"^size must be .*, got "):
        Options(size=size)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 2.5),
        ("steps", True),
        ("min_scale", 0),
        ("seed", -1),
        ("alpha", -1),
        ("beta", float("nan")),
        ("beta", float("inf")),
        ("beta", "7"),
        ("total_variation", -0.1),
        ("learning_rate", 0),
        ("style_scale", 0),
        ("loss", "other"),
        ("optimizer", "sgd"),
        ("padding", "wrap"),
        ("preserve_colors", "hue"),
        ("pooling", "mean"),
        ("dtype", "float16"),
        ("betas", (0.9, 1.0)),
        ("betas", (0.9,)),
        ("average", 1.0),
        ("content_layers", ["conv4_2"]),
        ("style_layers", ["relu1_1", "relu9_1"]),
        ("style_weights", [1, -1]),
        ("style_weights", [0, 0]),
    ],
)
def test_an_option_without_meaning_is_named(name, value):
    with pytest.raises(OptionError, match=name):
        Options(**{name: value})


def test_a_sum_of_nothing_is_refused():
    with pytest.raises(OptionError, match="nothing to optimise"):
        Options(alpha=0, beta=0)
    with pytest.raises(OptionError, match="nothing to optimise"):
        Options(alpha=1, content_layers=(), beta=0)


@pytest.mark.parametrize("function", [stylize, iterate])
def test_the_defaults_are_in_the_signature(function):
    parameters = inspect.signature(function).parameters
    for field in fields(Options):
        assert parameters[field.name].default == field.default
        assert parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(parameters)[:2] == ["content", "styles"]


def test_scales_grow_by_the_square_root_of_two():
    plan = plan_scales((512, 512), min_scale=128, steps=50)
    assert [scale.long_side for scale in plan] == [128, 176, 256, 368, 512]
    assert [scale.steps for scale in plan] == [100, 50, 50, 50, 50]


def test_only_the_last_scale_has_sides_that_are_no_multiples_of_16():
    plan = plan_scales((341, 511), min_scale=128, steps=1)
    assert plan[-1].size == (341, 511)
    assert all(side % 16 == 0 for scale in plan[:-1] for side in scale.size)
    assert all(small.pixels < large.pixels for small, large in pairwise(plan))


def test_scales_with_a_short_side_under_32_are_dropped():
    assert [scale.size for scale in plan_scales((64, 512), min_scale=128, steps=1)] == [
        (32, 256),
        (48, 368),
        (64, 512),
    ]


@pytest.mark.parametrize("min_scale", [100, 128, 4000])
def test_a_small_picture_has_one_scale_of_just_the_steps(min_scale):
    assert plan_scales((60, 100), min_scale=min_scale, steps=9) == (Scale(60, 100, 9),)


def test_a_picture_is_enlarged_only_when_asked():
    assert target_size((100, 200), Options(size=512)) == (100, 200)
    assert target_size((100, 200), Options(size=512, enlarge=True)) == (256, 512)
    assert target_size((1000, 2000), Options(size=512)) == (256, 512)
    assert target_size((100, 200), Options(size="320x192")) == (192, 320)


def test_a_result_too_thin_for_the_network_is_refused():
    with pytest.raises(OptionError, match="short side"):
        target_size((100, 2000), Options(size=160))


def test_a_style_keeps_its_aspect_and_follows_the_content():
    scale = Scale(128, 256, 1)
    assert style_size((600, 300), scale, Options()) == (256, 128)
    assert style_size((600, 300), scale, Options(style_scale=0.5)) == (128, 64)
    assert style_size((200, 100), scale, Options()) == (200, 100)
    assert style_size((200, 100), scale, Options(enlarge=True)) == (256, 128)
    assert style_size((2000, 20), scale, Options()) == (256, 16)


# --- arrays ------------------------------------------------------------------------------------------------


def test_a_canvas_holds_the_picture_and_repeats_its_edge(pictures):
    rgb = pictures[2]
    canvas = to_canvas(rgb, "float64")
    assert canvas.shape == (1, 3, 48, 32)
    assert canvas.dtype == np.float64
    assert canvas.flags.c_contiguous
    np.testing.assert_array_equal(to_picture(canvas, rgb.shape[:2]), rgb)
    np.testing.assert_array_equal(canvas[..., 36:, :], np.broadcast_to(canvas[..., 35:36, :], (1, 3, 12, 32)))


def test_rounding_cuts_off_what_is_out_of_range():
    assert to_uint8(np.array([-3.0, 0.4, 0.6, 254.6, 300.0])).tolist() == [0, 0, 1, 255, 255]


def test_the_average_of_a_constant_is_that_constant():
    average = RunningAverage(0.9, np.zeros(4))
    assert average.value.tolist() == [0, 0, 0, 0]
    for _ in range(3):
        average.update(np.full(4, 7.0))
        np.testing.assert_allclose(average.value, 7.0, rtol=1e-14)


def test_the_average_weighs_the_iterates_by_their_age():
    values, average = np.random.default_rng(0).normal(size=(5, 3)), RunningAverage(0.8, np.ones(3))
    for value in values:
        average.update(value)
    np.testing.assert_allclose(average.value, np.average(values, axis=0, weights=0.8 ** np.arange(5)[::-1]))


def test_the_average_does_not_follow_an_array_that_changes():
    value, average = np.ones(3), RunningAverage(0.0, np.zeros(3))
    average.update(value)
    value += 1
    assert average.value.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("steps", "decay"), [(5, 0), (10, 0), (50, 0.8), (100, 0.9), (5000, 0.99)])
def test_the_average_lasts_a_tenth_of_the_steps(steps, decay):
    assert average_decay(Options(), steps) == pytest.approx(decay)
    assert average_decay(Options(average=0.5), steps) == 0.5


def test_moments_are_carried_to_the_next_scale():
    rng = np.random.default_rng(1)
    small, large = (Adam(np.zeros((1, 3, *size))) for size in ((32, 48), (48, 64)))
    small.m[...], small.t = 3.0, 17
    small.v[...] = rng.exponential(size=small.v.shape) ** 4
    resume_moments(large, small, (32, 48), (40, 60))
    ratio = 32 * 48 / (40 * 60)
    np.testing.assert_allclose(large.m, 3 * ratio, rtol=1e-6)
    assert large.v.min() >= 0
    assert large.v[..., :40, :60].mean() == pytest.approx(small.v.mean() * ratio**2, rel=0.1)
    assert large.t == 17


# --- the loss ----------------------------------------------------------------------------------------------


def torch_features(torch, layers, names, options):
    """VGG-19 down to the last of the layers named, as a function of an image, for PyTorch's autograd."""
    border = {"zeros": "constant", "replicate": "replicate"}[options.padding]

    def features(image):
        dtype, found = image.dtype, {}
        x = image - torch.tensor(MEAN, dtype=dtype)[:, None, None]
        for name, weights in LAYERS:
            if weights is None:
                average = 2 * torch.nn.functional.avg_pool2d(x, 2)
                x = average if options.pooling == "average" else torch.nn.functional.max_pool2d(x, 2)
            else:
                weight, bias = (torch.from_numpy(array).to(dtype) for array in layers[weights])
                x = torch.nn.functional.pad(x, (1, 1, 1, 1), border if name == "relu1_1" else "constant")
                x = torch.relu(torch.nn.functional.conv2d(x, weight, bias))
            found[name] = x
            if set(names) <= set(found):
                return found
        raise AssertionError(names)

    return features


def torch_compare(torch, options):
    """The distance of one layer's features from a style's, as a function of both and a mask."""

    def moments(x, mask):
        flat, weights = x.flatten(2)[0], mask.flatten() / mask.sum()
        return flat @ weights, (flat * weights) @ flat.T

    def compare(x, mask, style):
        mean, gram = moments(x, mask)
        target_mean, target = moments(style, torch.ones_like(style[0, 0]))
        if options.loss == "wasserstein":
            return wasserstein(mean, gram, target_mean, target) / (len(gram) * 57.6**2)
        k = {
            "relative": 1 / target.square().sum(),
            "gatys": 1 / (4 * len(target) ** 2),
            "gram": 1 / len(target) ** 4,
        }[options.loss]
        return k * (gram - target).square().sum()

    def wasserstein(mean, gram, target_mean, target):
        ridge = 1e-4 * 57.6**2 * torch.eye(len(gram), dtype=gram.dtype)
        covariance = gram - torch.outer(mean, mean) + ridge
        target = target - torch.outer(target_mean, target_mean) + ridge
        values, vectors = torch.linalg.eigh(target)
        root = vectors * values.sqrt() @ vectors.T
        roots = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=1e-30).sqrt()
        return (mean - target_mean).square().sum() + covariance.trace() + target.trace() - 2 * roots.sum()

    return compare


def torch_loss(torch, layers, content, styles, options, masks=None):
    """The total loss as a function of an image, written for PyTorch's autograd; masks are (H, W) planes."""
    content_weights, style_weights = layer_weights(options.content_layers), layer_weights(options.style_layers)
    features = torch_features(torch, layers, [*content_weights, *style_weights], options)
    compare = torch_compare(torch, options)
    k_content = {
        "relative": lambda p: 1 / p.square().sum(),
        "gatys": lambda p: 1 / (2 * p.numel()),
        "gram": lambda p: 1 / p.numel(),
        "wasserstein": lambda p: 1 / (57.6**2 * p.numel()),
    }[options.loss]
    with torch.no_grad():
        targets, style_targets = features(content), [features(style) for style in styles]
    if masks is None:
        masks = [torch.ones_like(content[0, 0])] * len(styles)
    shares = np.array(options.style_weights or [1] * len(styles), float)
    shares /= shares.sum()

    def area(mask, x):
        return torch.nn.functional.adaptive_avg_pool2d(mask[None, None], x.shape[2:])[0, 0]

    def total(image):
        found = features(image)
        loss = 0
        for name, weight in content_weights.items():
            loss = (
                loss + options.alpha * weight * k_content(targets[name]) * (found[name] - targets[name]).square().sum()
            )
        for share, target, mask in zip(shares, style_targets, masks, strict=True):
            for name, weight in style_weights.items():
                here = area(mask, found[name])
                if here.any():
                    loss = loss + options.beta * share * weight * compare(found[name], here, target[name])
        straight = image.diff(dim=2).square().sum() + image.diff(dim=3).square().sum()
        falling = (image[..., 1:, 1:] - image[..., :-1, :-1]).square().sum()
        rising = (image[..., 1:, :-1] - image[..., :-1, 1:]).square().sum()
        return loss + options.total_variation * (2 / 3 * straight + 1 / 6 * (falling + rising)) / image.numel()

    return total


def gradients(torch, layers, pictures, options, start, masks=None):
    """Loss and gradient at `start`: ours in float64 and float32, PyTorch's in the same."""
    found = {}
    for dtype in ("float64", "float32"):
        content, *styles = (to_planes(picture, dtype) for picture in pictures)
        image = to_planes(start, dtype)
        network = VGG19(layers, dtype=dtype, pooling=options.pooling, padding=options.padding)
        losses, gradient = Objective(network, content, styles, options, masks)(image)
        found["ours", dtype] = losses.total, gradient
        tensor = torch.from_numpy(image).requires_grad_()
        planes = None if masks is None else [torch.from_numpy(mask.astype(dtype)) for mask in masks]
        content, *styles = map(torch.from_numpy, (content, *styles))
        total = torch_loss(torch, layers, content, styles, options, planes)(tensor)
        total.backward()
        found["torch", dtype] = total.item(), tensor.grad.numpy()
    return found


# What rounding in Winograd's transforms adds to a gradient (docs/kernels.md). In pictures too small for it to flip
# a maximum or the sign of an activation, PyTorch's direct convolution is more exact; one flip makes 1e-4.
WINOGRAD = 1e-5


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "relative"},
        {"loss": "gatys", "padding": "zeros"},
        {"loss": "gram"},
        {"loss": "wasserstein"},
        {"pooling": "average"},
        {"style_layers": ("relu1_1:256", "relu2_1:64", "relu4_1:0", "relu5_1")},
        {"style_layers": ()},
        {"content_layers": ()},
    ],
)
def test_the_gradient_agrees_with_pytorch(torch, pictures, changes):
    options = Options(
        **{
            "beta": 3,
            "total_variation": 1e-3,
            "style_weights": (1, 3),
            "content_layers": ("relu4_2", "relu3_1"),
            **changes,
        }
    )
    start = pictures[0] + np.random.default_rng(5).normal(size=pictures[0].shape)
    found = gradients(torch, vgg((16, 32, 32, 32, 32)), pictures, options, start)
    exact_loss, exact = found["torch", "float64"]
    assert found["ours", "float64"][0] == pytest.approx(exact_loss, rel=1e-10)
    assert distance(found["ours", "float64"][1], exact) < 1e-8
    assert distance(found["ours", "float32"][1], exact) < max(
        3 * distance(found["torch", "float32"][1], exact), WINOGRAD
    )


@pytest.mark.parametrize("loss", ["relative", "wasserstein"])
def test_the_gradient_with_masks_agrees_with_pytorch(torch, pictures, loss):
    start = pictures[0] + np.random.default_rng(5).normal(size=pictures[0].shape)
    ramp = np.linspace(0, 1, 48, dtype=np.float32) * np.ones((32, 1), np.float32)
    corner = np.zeros((32, 48), np.float32)
    corner[3:9, 40:] = 1
    options = Options(loss=loss, beta=3, style_weights=(1, 3), style_layers=("relu1_1", "relu3_1", "relu4_1"))
    found = gradients(torch, vgg((16, 32, 32, 32, 32)), pictures, options, start, [ramp, corner])
    exact_loss, exact = found["torch", "float64"]
    assert found["ours", "float64"][0] == pytest.approx(exact_loss, rel=1e-10)
    assert distance(found["ours", "float64"][1], exact) < 1e-8


@pytest.fixture
def real_layers():
    try:
        return vgg_weights.load(offline=True).layers
    except vgg_weights.MissingWeightsError as error:
        pytest.skip(str(error))


@pytest.mark.weights
@pytest.mark.parametrize("loss", ["relative", "gatys"])
def test_the_gradient_agrees_with_pytorch_on_real_weights(torch, real_layers, loss):
    random = np.random.default_rng(5)
    large = [np.kron(random.uniform(30, 220, (16, 16, 3)), np.ones((16, 16, 1))).astype(np.float32) for _ in range(2)]
    start = large[0] + random.normal(size=large[0].shape)
    found = gradients(torch, real_layers, large, Options(loss=loss), start)
    exact = found["torch", "float64"][1]
    assert distance(found["ours", "float64"][1], exact) < 1e-8
    assert distance(found["ours", "float32"][1], exact) < 3 * distance(found["torch", "float32"][1], exact)


@pytest.mark.weights
def test_wasserstein_agrees_with_pytorch_on_real_weights(torch, real_layers, pictures):
    # Six positions of 512 channels: the covariances are singular but for the ridge. float64 keeps six digits of the
    # roots, and PyTorch's float32 none, so ours is compared with float64.
    start = pictures[0] + np.random.default_rng(5).normal(size=pictures[0].shape)
    found = gradients(torch, real_layers, pictures, Options(loss="wasserstein"), start)
    exact = found["torch", "float64"][1]
    assert distance(found["ours", "float64"][1], exact) < 1e-5
    assert distance(found["ours", "float32"][1], exact) < 1e-3


@pytest.mark.parametrize("loss", ["relative", "wasserstein"])
def test_the_gradient_is_that_of_the_loss(pictures, loss):
    options = Options(beta=2, total_variation=1e-3, loss=loss)
    content, style, _ = (to_planes(picture, "float64") for picture in pictures)
    objective = Objective(VGG19(vgg(), dtype="float64"), content, [style], options)
    rng = np.random.default_rng(2)
    image = content + rng.normal(size=content.shape)
    direction = rng.normal(size=content.shape)
    _, gradient = objective(image)
    difference = 1e-4
    above, below = (objective(image + sign * difference * direction)[0].total for sign in (1, -1))
    assert (above - below) / (2 * difference) == pytest.approx(np.vdot(gradient, direction), rel=1e-5)


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


# --- the run -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(thin, pictures):
    """Run a short transfer over three scales, with other options where they are named."""

    def run(content=pictures[0], styles=pictures[1], **options):
        defaults = {"size": 48, "min_scale": 32, "steps": 3, "weights": thin}
        return stylize(content, styles, **{**defaults, **options})

    return run


def test_the_losses_fall_at_every_scale(run):
    result = run(size=64, enlarge=True, min_scale=40, steps=12)
    assert {record.scale for record in result.losses} == {48, 64}
    for scale in (48, 64):
        losses = [record.loss for record in result.losses if record.scale == scale]
        assert losses[-1] < 0.8 * losses[0]


def test_steps_tell_where_the_run_is(thin, pictures):
    steps = iterate(
        pictures[0],
        pictures[1],
        weights=thin,
        size=64,
        enlarge=True,
        min_scale=40,
        steps=2,
        total_variation=1,
    )
    seen = []
    for step in steps:
        assert isinstance(step, Step)
        image = step.image()
        assert image.dtype == np.uint8
        assert max(image.shape) == step.scale
        assert step.loss > step.content + step.style > 0
        assert step.seconds > 0
        seen.append((step.scale, step.step, step.steps))
    assert seen == [(48, 1, 4), (48, 2, 4), (48, 3, 4), (48, 4, 4), (64, 1, 2), (64, 2, 2)]


def test_bad_arguments_are_found_before_the_first_step(thin, pictures):
    with pytest.raises(OptionError, match="steps"):
        iterate(pictures[0], pictures[1], weights=thin, steps=0)


def test_the_callback_sees_every_step(run):
    seen = []
    result = run(callback=seen.append)
    assert [step.loss for step in seen] == [record.loss for record in result.losses]


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (32, 48, 3)),
        ({"size": 37}, (25, 37, 3)),
        ({"size": 37, "restore_size": True}, (32, 48, 3)),
        ({"size": "40x52"}, (52, 40, 3)),
        ({"size": 60}, (32, 48, 3)),
        ({"size": 60, "enlarge": True}, (40, 60, 3)),
    ],
)
def test_the_result_has_the_size_that_was_asked_for(run, options, shape):
    result = run(**options)
    assert isinstance(result, Result)
    assert result.image.shape == shape
    assert result.image.dtype == np.uint8


def test_a_run_that_is_broken_off_gives_the_final_size(thin, pictures):
    transfer = Transfer(*pictures[:2], weights=thin, size=64, enlarge=True, min_scale=40, steps=5)
    next(iter(transfer))
    assert transfer.result().image.shape == (43, 64, 3)
    assert len(transfer.result().losses) == 1


def test_there_is_no_picture_before_the_first_step(thin, pictures):
    with pytest.raises(RuntimeError, match="before the first step"):
        Transfer(*pictures[:2], weights=thin, size=48).result()


def test_to_iterate_again_goes_on(thin, pictures, run):
    whole = run(size=64, enlarge=True, min_scale=40, steps=3)
    transfer = Transfer(*pictures[:2], weights=thin, size=64, enlarge=True, min_scale=40, steps=3)
    steps = []
    for count in (2, 4, 1, 99):
        steps += islice(transfer, count)
    assert [(step.scale, step.step) for step in steps] == [(record.scale, record.step) for record in whole.losses]
    np.testing.assert_array_equal(transfer.result().image, whole.image)


def test_the_same_options_give_the_same_picture(run):
    first, second = (run(init="noise", seed=4).image for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.any(run(init="noise", seed=5).image != first)


def test_every_start_leads_somewhere_else(run, pictures):
    starts = ["content", "noise", "gray", "style", pictures[2]]
    images = [run(init=start, steps=1).image.astype(int) for start in starts]
    for i, image in enumerate(images):
        assert all(np.abs(image - other).mean() > 1 for other in images[:i])


@pytest.mark.parametrize(
    "options",
    [
        {"clip": False, "learning_rate": 60},
        {"pooling": "average"},
        {"padding": "zeros"},
        {"optimizer": "lbfgs"},
        {"preserve_colors": "luma"},
        {"preserve_colors": "match"},
        {"masks": [np.tile(np.uint8([0, 255]), (32, 24))]},
        {"preset": "best", "steps": 3},
        {"loss": "gatys"},
        {"loss": "wasserstein"},
        {"style_layers": ("relu1_1:9", "relu5_1")},
        {"average": 0.9},
        {"betas": (0.5, 0.9)},
        {"alpha": 0},
        {"beta": 0.1},
        {"total_variation": 10},
        {"style_scale": 0.5},
        {"style_layers": ("relu1_1",)},
        {"content_layers": ("relu2_2",)},
    ],
)
def test_every_option_changes_the_picture(run, options):
    common = {key: value for key, value in options.items() if key == "learning_rate"}
    assert np.any(run(**common).image != run(**options).image)


def test_coarser_scales_change_the_picture(run):
    assert np.any(run(size=64, enlarge=True).image != run(size=64, enlarge=True, min_scale=64).image)


def test_the_photograph_alone_changes_nothing(run, pictures):
    image = run(beta=0, total_variation=0, min_scale=48).image
    np.testing.assert_array_equal(image, np.rint(pictures[0]).astype(np.uint8))


def test_a_style_stays_where_its_mask_is(run, pictures):
    content, one, other = pictures
    left, right = np.zeros((2, *content.shape[:2]), np.uint8)
    left[:, :24] = right[:, 24:] = 255
    options = {"style_layers": ("relu1_1",), "alpha": 0, "total_variation": 0, "min_scale": 48, "learning_rate": 2}
    both = run(styles=[one, other], masks=[left, right], **options).image.astype(int)
    # At relu1_1 a position sees its neighbours only, so nothing crosses the border but in a column or two.
    for mask, style, inside in ((left, one, np.s_[:, :23]), (right, other, np.s_[:, 25:])):
        alone = run(styles=style, masks=[mask], **options).image.astype(int)
        assert np.abs(both - alone)[inside].mean() <= 0.2  # one flipped sign in Adam moves a pixel by grey levels
        assert np.abs(both - alone).max() > 5
        outside = mask == 0
        outside[:, 22:26] = False
        np.testing.assert_array_equal(alone[outside], np.rint(content).astype(int)[outside])


def test_a_white_mask_changes_nothing(run):
    white = np.full((16, 24), 255, np.uint8)
    difference = run(masks=[white]).image.astype(int) - run().image
    assert np.abs(difference).mean() < 0.5  # rounding, since weighted sums are added up otherwise


def test_the_colours_of_the_photograph_are_kept(run, pictures):
    result = run(preserve_colors="luma", alpha=0.01)
    chroma = [rgb - rgb.mean(axis=2, keepdims=True) for rgb in (result.rgb, pictures[0])]
    free = (result.image.min(axis=2) > 0) & (result.image.max(axis=2) < 255)  # the others were clipped
    assert free.mean() > 0.3
    np.testing.assert_allclose(chroma[0][free], chroma[1][free], atol=0.01)
    other = run(alpha=0.01)
    assert np.abs(luma(result.rgb) - luma(other.rgb))[free].max() < 0.01


def test_the_picture_on_its_way_has_the_colours_of_the_result(thin, pictures):
    transfer = Transfer(*pictures[:2], weights=thin, size=48, min_scale=48, steps=2, preserve_colors="luma")
    for step in transfer:
        np.testing.assert_array_equal(step.image(), transfer.result().image)


def test_styles_are_recoloured_to_the_photograph(run, pictures):
    matched = match_colors(pictures[1], pictures[0])
    np.testing.assert_array_equal(run(preserve_colors="match").image, run(styles=matched).image)


def test_a_start_from_the_styles_has_their_colours(thin, pictures):
    options = {"weights": thin, "size": 48, "min_scale": 48, "steps": 1, "learning_rate": 1e-6}
    transfer = Transfer(
        pictures[0], [pictures[1], pictures[2]], init="style", style_weights=(1, 0), enlarge=True, **options
    )
    next(iter(transfer))
    found, expected = (color_moments([picture], [1]) for picture in (transfer.picture(), pictures[1]))
    spread = np.sqrt(np.trace(expected[1]))
    assert np.abs(found[0] - expected[0]).max() < 0.1 * spread  # some of the noise was clipped
    assert np.abs(found[1] - expected[1]).max() < 0.3 * spread**2


def test_opacity_is_given_back(run, pictures):
    alpha = np.linspace(0, 255, 48) * np.ones((32, 1))
    rgba = np.dstack([pictures[0], alpha]).astype(np.uint8)
    result = run(content=rgba, size=36)
    assert result.alpha.shape == result.image.shape[:2] == (24, 36)
    np.testing.assert_allclose(result.alpha[:, 1:-1], np.linspace(0, 1, 36)[1:-1] * np.ones((24, 1)), atol=0.02)
    assert run().alpha is None


def test_the_result_is_there_before_rounding(run):
    result = run()
    assert result.rgb.dtype == np.float32
    assert 0 <= result.rgb.min() < result.rgb.max() <= 255
    np.testing.assert_array_equal(np.rint(result.rgb), result.image)
    assert np.abs(result.rgb - result.image).max() > 0.1


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


def test_a_preset_makes_the_picture_of_its_options(run):
    np.testing.assert_array_equal(
        run(preset="gatys", size=48, steps=3).image, run(**{**PRESETS["gatys"], "size": 48, "steps": 3}).image
    )
    with pytest.raises(OptionError, match="preset must be one of"):
        run(preset="slow")


def test_a_style_of_weight_zero_does_not_count(run, pictures):
    _, one, other = pictures
    alone = run(styles=[one]).image
    np.testing.assert_array_equal(run(styles=one).image, alone)
    np.testing.assert_array_equal(run(styles=[one, other], style_weights=[2, 0]).image, alone)
    assert np.any(run(styles=[one, other]).image != alone)


def test_pictures_are_paths_or_pillow_images_or_arrays(run, pictures, tmp_path):
    arrays = [np.rint(picture).astype(np.uint8) for picture in pictures[:2]]
    expected = run(*arrays).image
    images = [Image.fromarray(array) for array in arrays]
    np.testing.assert_array_equal(run(*images).image, expected)
    for image, name in zip(images, ("photo.png", "painting.png"), strict=True):
        image.save(tmp_path / name)
    result = run(tmp_path / "photo.png", str(tmp_path / "painting.png"))
    np.testing.assert_array_equal(result.image, expected)
    assert result.settings["content"] == {"name": "photo.png", "size": (32, 48)}
    assert result.settings["styles"] == [{"name": "painting.png", "size": (40, 40)}]


def test_the_settings_tell_what_the_picture_was_made_with(run, thin, pictures):
    settings = run(beta=13, seed=3, init=pictures[2], masks=[np.full((32, 48), 255, np.uint8)]).settings
    for name, value in asdict(Options()).items():
        assert name in settings
        if name not in ("size", "min_scale", "steps", "beta", "seed", "init", "masks", "tile"):
            assert settings[name] == value
    assert (settings["preset"], settings["beta"], settings["seed"]) == ("fast", 13, 3)
    assert (settings["init"], settings["masks"]) == ("a picture of 30x36 px", ["a picture of 48x32 px"])
    assert settings["weights"] == {"source": "random", "sha256": "ab" * 32, "exact": True}
    assert settings["scales"][-1] == {"height": 32, "width": 48, "steps": 3}
    assert settings["threads"] >= 1
    assert settings["tile"] == 0
    assert settings["estimate"]["memory"] > 1e8
    assert settings["estimate"]["flop"] > 1e9
    assert set(settings["versions"]) == {"fastconv", "numba", "numpy", "python"}
    assert json.loads(json.dumps(settings))["beta"] == 13


def test_pictures_are_needed_and_must_be_large_enough(run, pictures):
    with pytest.raises(OptionError, match="styles"):
        run(styles=[])
    with pytest.raises(ImageError, match="content: 20x10 px is too small"):
        run(content=np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(ImageError, match="style 2: 20x10 px is too small"):
        run(styles=[pictures[1], np.zeros((10, 20, 3), np.uint8)])
    with pytest.raises(OptionError, match="style_weights must be as many as the style pictures, 1, got 2"):
        run(style_weights=[1, 2])
    with pytest.raises(OptionError, match="masks must be as many as the style pictures, 1, got 0"):
        run(masks=[])
    with pytest.raises(ImageError, match="mask 1: 40x40 px is out of proportion"):
        run(masks=[pictures[1]])


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
