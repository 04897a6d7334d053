"""Layers: gradients against finite differences and PyTorch, and what they remember."""

import numpy as np
import pytest

from fastconv.nn import Adam, AvgPool2d, Conv2d, MaxPool2d, ReLU, Sequential

LAYERS = {
    "conv": lambda: Conv2d(4, 6, 3, seed=1, dtype=np.float64),
    "conv strided, padded, dilated, grouped": lambda: Conv2d(
        4,
        6,
        (3, 2),
        stride=(1, 2),
        padding=((1, 0), (2, 1)),
        dilation=(2, 1),
        groups=2,
        seed=1,
        dtype=np.float64,
    ),
    "conv without bias": lambda: Conv2d(4, 3, 1, bias=False, seed=1, dtype=np.float64),
    "relu": ReLU,
    "max pool": lambda: MaxPool2d(2),
    "max pool overlapping, padded": lambda: MaxPool2d(3, 2, padding=1, ceil_mode=True),
    "max pool dilated": lambda: MaxPool2d((2, 3), 1, dilation=(2, 1)),
    "average pool": lambda: AvgPool2d(2),
    "average pool overlapping, padded": lambda: AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
    "average pool, own divisor": lambda: AvgPool2d(2, divisor_override=3),
    "sequence": lambda: Sequential(
        Conv2d(4, 5, 3, padding=1, seed=1, dtype=np.float64),
        ReLU(),
        MaxPool2d(2),
        Conv2d(5, 2, 2, seed=2, dtype=np.float64),
    ),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    return LAYERS[request.param]()


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, 4, 7, 6))


def numerical_gradient(function, x, step=1e-6):
    """Gradient of a scalar function by central differences; changes `x` on the way and puts it back."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = value + step
        above = function()
        x[index] = value - step
        below = function()
        x[index] = value
        gradient[index] = (above - below) / (2 * step)
    return gradient


def loss_of(layer, x):
    """Return a scalar function of the layer's output, and its gradient with respect to that output."""
    grad_output = np.random.default_rng(9).normal(size=layer.forward(x).shape)
    return (lambda: float(np.sum(layer.forward(x) * grad_output))), grad_output


def test_input_gradient_agrees_with_finite_differences(layer, x):
    loss, grad_output = loss_of(layer, x)
    layer.forward(x)
    gradient = layer.backward(grad_output)
    np.testing.assert_allclose(gradient, numerical_gradient(loss, x), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith("conv")])
def test_weight_and_bias_gradients_agree_with_finite_differences(name, x):
    conv = LAYERS[name]()
    loss, grad_output = loss_of(conv, x)
    conv.forward(x)
    conv.backward(grad_output)
    np.testing.assert_allclose(conv.weight_grad, numerical_gradient(loss, conv.weight), rtol=1e-7, atol=1e-7)
    if conv.bias is None:
        assert conv.bias_grad is None
    else:
        np.testing.assert_allclose(conv.bias_grad, numerical_gradient(loss, conv.bias), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_network_agrees_with_pytorch(dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    ours = Sequential(
        Conv2d(3, 8, 3, padding=1, dtype=dtype, seed=rng),
        ReLU(),
        MaxPool2d(3, 2, padding=1),
        Conv2d(8, 6, (3, 2), stride=2, groups=2, dtype=dtype, seed=rng),
        ReLU(),
        AvgPool2d(2, ceil_mode=True),
    )
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(3, 2, padding=1),
        torch.nn.Conv2d(8, 6, (3, 2), stride=2, groups=2),
        torch.nn.ReLU(),
        torch.nn.AvgPool2d(2, ceil_mode=True),
    ).to(torch.float64)
    for i in (0, 3):
        ours.layers[i].bias[:] = rng.normal(size=ours.layers[i].bias.shape)
        theirs[i].weight.data = torch.from_numpy(ours.layers[i].weight.astype(np.float64))
        theirs[i].bias.data = torch.from_numpy(ours.layers[i].bias.astype(np.float64))

    x = rng.normal(size=(2, 3, 19, 22)).astype(dtype)
    x_torch = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    y, y_torch = ours.forward(x), theirs(x_torch)
    grad_output = rng.normal(size=y.shape).astype(dtype)
    y_torch.backward(torch.from_numpy(grad_output.astype(np.float64)))

    bound = 1e-12 if dtype == np.float64 else 1e-5

    def check(array, tensor):
        assert array.dtype == dtype
        expected = tensor.detach().numpy()
        assert np.linalg.norm(array - expected) <= bound * np.linalg.norm(expected)

    check(y, y_torch)
    check(ours.backward(grad_output), x_torch.grad)
    for i in (0, 3):
        check(ours.layers[i].weight_grad, theirs[i].weight.grad)
        check(ours.layers[i].bias_grad, theirs[i].bias.grad)


def test_a_student_learns_its_teacher():
    rng = np.random.default_rng(5)
    teacher = Conv2d(2, 3, 3, padding=1, dtype=np.float64, seed=rng)
    student = Conv2d(2, 3, 3, padding=1, dtype=np.float64, seed=rng)
    optimizers = Adam(student.weight, 0.05), Adam(student.bias, 0.05)
    x = rng.normal(size=(4, 2, 8, 8))
    losses = []
    for _ in range(200):
        error = student.forward(x) - teacher.forward(x)
        losses.append(np.mean(error**2))
        student.backward(2 * error / error.size)
        optimizers[0].step(student.weight_grad)
        optimizers[1].step(student.bias_grad)
    assert losses[-1] < 1e-4 * losses[0]
    np.testing.assert_allclose(student.weight, teacher.weight, atol=0.02)


def test_each_forward_serves_one_backward(layer, x):
    with pytest.raises(RuntimeError, match="needs a forward"):
        layer.backward(np.zeros((1, 1, 1, 1)))
    _, grad_output = loss_of(layer, x)
    layer.backward(grad_output)
    with pytest.raises(RuntimeError, match="each forward\\(\\) serves one"):
        layer.backward(grad_output)


def test_inputs_are_not_written_to(layer, x):
    _, grad_output = loss_of(layer, x)
    x.flags.writeable = grad_output.flags.writeable = False
    layer.forward(x)
    layer.backward(grad_output)


def test_a_sequence_without_layers_passes_everything_on(x):
    empty = Sequential()
    assert empty.forward(x) is x
    assert empty.backward(x) is x


def test_initial_weights_keep_the_variance_through_relu():
    conv = Conv2d(64, 64, 3, padding=1, dtype=np.float64, seed=0)
    x = np.maximum(np.random.default_rng(1).normal(size=(1, 64, 16, 16)), 0) * np.sqrt(2)
    inner = conv.forward(x)[:, :, 1:-1, 1:-1]
    assert np.var(inner) == pytest.approx(2, rel=0.1)


def test_a_seed_gives_the_same_weights():
    assert np.array_equal(Conv2d(2, 3, 3, seed=4).weight, Conv2d(2, 3, 3, seed=4).weight)
    assert not np.array_equal(Conv2d(2, 3, 3, seed=4).weight, Conv2d(2, 3, 3, seed=5).weight)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 3, 3), {}, ValueError, "in_channels must be at least 1, got 0"),
        ((3, -1, 3), {}, ValueError, "out_channels must be at least 1, got -1"),
        (
            (4, 3, 3),
            {"groups": 2},
            ValueError,
            "divisible by groups, got in_channels 4, out_channels 3, groups 2",
        ),
        ((4, 4, (3, 3, 3)), {}, ValueError, "kernel_size must be one or two positive integers"),
        ((4, 4, 0), {}, ValueError, "kernel_size must be one or two positive integers, got 0"),
        ((4, 4, 3), {"dtype": np.int32}, TypeError, "dtype must be float32 or float64, got int32"),
    ],
)
def test_conv_says_what_is_wrong(arguments, options, error, message):
    with pytest.raises(error, match=message):
        Conv2d(*arguments, **options)
