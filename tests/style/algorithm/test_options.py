"""Options: what they may be, and what they mean."""

import pytest

from fastconv.style import OptionError, Options
from fastconv.style.algorithm.options import layer_weights, parse_memory, parse_size


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


def test_layers_share_the_weight_of_their_kind():
    assert layer_weights(["relu1_1", "relu2_1:3"]) == {"relu1_1": 0.25, "relu2_1": 0.75}
    assert layer_weights(["relu1_1:5", "relu2_1:0"]) == {"relu1_1": 1}
    assert layer_weights([]) == {}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["relu1_1:x"], "weights of at least 0, one above it"),
        (["relu1_1:"], "weights of at least 0, one above it"),
        (["relu1_1:-1", "relu2_1"], "weights of at least 0, one above it"),
        (["relu1_1:nan"], "weights of at least 0, one above it"),
        (["relu1_1:0"], "weights of at least 0, one above it"),
        (["relu1_1", "relu1_1:2"], "name a layer once, got 'relu1_1' 2 times"),
        (["conv1_1:2"], "layers of VGG-19 such as relu4_2, got 'conv1_1'"),
    ],
)
def test_layers_without_meaning_are_refused(layers, message):
    with pytest.raises(OptionError, match=f"style_layers must .*{message}"):
        Options(style_layers=layers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        (1234, 1234),
        ("1234", 1234),
        ("4GB", 4 * 10**9),
        ("4g", 4 * 10**9),
        ("1.5 GB", 1_500_000_000),
        ("500M", 500_000_000),
        ("2GiB", 2 << 30),
        ("1T", 1000 * 10**9),
        ("3Kib", 3072),
    ],
)
def test_memory_is_bytes_or_has_a_unit(text, expected):
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["", "x", "4 apples", "-1", -1, 0, "0G", "80%", True, 1e9, "1e9"])
def test_memory_without_meaning_is_refused(text):
    with pytest.raises(OptionError, match=r"max_memory must be a number of bytes above 0, .* got"):
        Options(max_memory=text)


def test_lbfgs_is_refused_with_tiles():
    with pytest.raises(OptionError, match=r"optimizer lbfgs .* tile"):
        Options(tile=512, optimizer="lbfgs")
    assert Options(tile=0, optimizer="lbfgs").tile == 0
    assert Options(tile=320).tile == 320


@pytest.mark.parametrize("tile", [319, -1, 512.0, True, "512"])
def test_a_tile_without_meaning_is_refused(tile):
    with pytest.raises(OptionError, match=r"tile must be .* at least 320, or 0"):
        Options(tile=tile)
