"""What a transfer is said to need."""

import math

import numpy as np
import pytest

from fastconv.nn.vgg import VGG19, weight_bytes
from fastconv.style import Options
from fastconv.style.transfer import memory
from fastconv.weights.model import KERNEL_SHAPES

from .helpers import LARGE, STYLES, need


def test_the_estimate_grows_with_the_pictures():
    small, large = need((256, 256)), need((512, 512))
    assert small < large < 4 * small
    assert memory.estimate((256, 256), [(4000, 4000)], Options(), None) > large
    loaded = memory.Loaded(nbytes=1000)
    assert memory.estimate((256, 256), STYLES, Options(), None, loaded) == small + 1000


def test_the_estimate_knows_tiles_layers_and_masks():
    assert need(tile=512) < need(tile=1024) < need() / 2
    pixels = math.prod(LARGE)
    assert need(content_layers=("relu1_1",)) - need(content_layers=("relu4_2",)) > 400 * pixels  # targets, differences
    assert need(style_layers=("relu1_2", "relu5_1")) > need(style_layers=("relu5_1",)) + 200 * pixels
    assert need(masks=[np.ones((4, 4))]) > need() + 4 * pixels


def test_a_precision_doubles_arrays_and_not_the_program():

    def arrays(dtype):  # of 9 megapixels, since the program is the same for both sizes
        return need(min_scale=4000, dtype=dtype) - need((1500, 2000), min_scale=4000, dtype=dtype)

    traces = 70 * 9_000_000  # of bytes whatever the precision
    assert arrays("float64") - traces == pytest.approx(2 * (arrays("float32") - traces), rel=0.001)
    small = {"size": (128, 128), "styles": [(128, 128)]}
    assert need(**small, dtype="float64") < 1.6 * need(**small)


def test_shallow_layers_need_few_weights():
    shallow = {"content_layers": ("relu2_2",), "style_layers": ("relu1_1",)}
    deepest = 4 * 512 * 512 * 9  # bytes of conv5_1, as of three other layers
    small = {"size": (64, 64), "styles": [(64, 64)]}
    assert need(**small, **shallow) + 4 * 2 * deepest < need(**small)  # they are packed once each way


def test_a_run_of_several_scales_needs_more_than_its_last_one():
    # Traces, and the smaller one of the arrays that are used by turns; the others are large, and given back.
    assert need((512, 512)) - need((512, 512), min_scale=512) == (70 + 4 * 16) * 368**2
    assert need((9000, 9000)) - need((9000, 9000), min_scale=9000) == 8 * (32 << 20)


def test_each_style_has_its_matrices_and_with_masks_its_share_of_the_picture():
    def of(count, **options):
        return need((64, 64), styles=[(64, 64)] * count, **options)

    entries = sum(channels**2 for channels in (64, 128, 256, 512, 512))
    masks = [np.ones((4, 4))] * 3
    assert of(3) - of(1) == 2 * 4 * entries
    assert of(3, masks=masks) - of(3) > 2 * 16 * entries
    assert of(3, loss="wasserstein") - of(1, loss="wasserstein") == 2 * (4 + 8) * entries


def test_wasserstein_needs_roots_gradients_and_eigenvalues(monkeypatch):
    monkeypatch.setattr(memory.fastconv, "get_num_threads", lambda: 1)
    entries = sum(channels**2 for channels in (64, 128, 256, 512, 512))
    # Libraries; two matrices in float64 for each layer; six of the largest while its eigenvalues are found.
    more = 9_000_000 + 2 * 8 * entries + 6 * 8 * 512**2
    small = {"size": (64, 64), "styles": [(64, 64)]}
    assert need(**small, loss="wasserstein") - need(**small) == more


def test_lbfgs_needs_what_was_measured():
    pixels = math.prod(LARGE)
    assert need(optimizer="lbfgs") - need() >= 800 * pixels
    assert need(optimizer="lbfgs", clip=False) < need(optimizer="lbfgs") - 100 * pixels


def test_large_photographs_take_memory_when_the_result_is_written():
    def of(pixels, **options):
        loaded = memory.Loaded(nbytes=12 * pixels, largest=pixels, content=pixels)
        return memory.estimate((256, 256), [(256, 256)], Options(**options), None, loaded)

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
    assert sum(array.nbytes for array in arrays) == memory.pass_bytes((side, side), options).total
    packed = sum(convolution.nbytes for convolution in network._convolutions.values())
    assert packed == pytest.approx(weight_bytes(layers, KERNEL_SHAPES, dtype=dtype), rel=0.07, abs=1e6)
