"""The loss and its gradient, against PyTorch and finite differences."""

import numpy as np
import pytest

from fastconv import weights as vgg_weights
from fastconv.nn.losses import COMPARISONS
from fastconv.nn.vgg import VGG19
from fastconv.style import Options
from fastconv.style.algorithm.canvas import to_planes
from fastconv.style.algorithm.objective import Objective

from ..helpers import distance, thin_layers
from ..torch_reference import torch_loss


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
    found = gradients(torch, thin_layers((16, 32, 32, 32, 32)), pictures, options, start)
    exact_loss, exact = found["torch", "float64"]
    assert found["ours", "float64"][0] == pytest.approx(exact_loss, rel=1e-10)
    assert distance(found["ours", "float64"][1], exact) < 1e-8
    assert distance(found["ours", "float32"][1], exact) < max(
        3 * distance(found["torch", "float32"][1], exact), WINOGRAD
    )


@pytest.mark.parametrize("loss", ["relative", "wasserstein"])
def test_the_gradient_with_masks_agrees_with_pytorch(torch, pictures, loss):
    start = pictures[0] + np.random.default_rng(5).normal(size=pictures[0].shape)
    ramp = np.arange(48, dtype=np.float32) / 64 * np.ones((32, 1), np.float32)  # its means are exact, too
    corner = np.zeros((32, 48), np.float32)
    corner[3:9, 40:] = 1
    options = Options(loss=loss, beta=3, style_weights=(1, 3), style_layers=("relu1_1", "relu3_1", "relu4_1"))
    found = gradients(torch, thin_layers((16, 32, 32, 32, 32)), pictures, options, start, [ramp, corner])
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


@pytest.mark.parametrize("loss", COMPARISONS)
def test_the_gradient_is_that_of_the_loss(pictures, loss):
    options = Options(beta=2, total_variation=1e-3, loss=loss)
    content, style, _ = (to_planes(picture, "float64") for picture in pictures)
    objective = Objective(VGG19(thin_layers(), dtype="float64"), content, [style], options)
    rng = np.random.default_rng(2)
    image = content + rng.normal(size=content.shape)
    direction = rng.normal(size=content.shape)
    _, gradient = objective(image)
    difference = 1e-4
    above, below = (objective(image + sign * difference * direction)[0].total for sign in (1, -1))
    assert (above - below) / (2 * difference) == pytest.approx(np.vdot(gradient, direction), rel=1e-5)
