"""Losses: values against the written-out formulas, gradients against finite differences and PyTorch."""

import numpy as np
import pytest

from fastconv.nn import ContentLoss, StyleLoss, TotalVariation, gram_matrix
from fastconv.nn.grams import add_gram_gradient
from fastconv.nn.losses import COMPARISONS

from .helpers import gradient_of, numerical_gradient

NORMALIZATIONS = ("relative", "gatys", "gram")


def written_out_gram(features):
    _, channels, height, width = features.shape
    gram = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            gram[i, j] = np.sum(features[0, i] * features[0, j]) / (height * width)
    return gram


def test_gram_matrix_is_the_mean_product_of_channels(rng):
    features = rng.normal(size=(1, 4, 3, 5))
    np.testing.assert_allclose(gram_matrix(features), written_out_gram(features), rtol=1e-13)


def test_gram_matrix_does_not_depend_on_the_size_of_a_repeated_picture(rng):
    features = rng.normal(size=(1, 4, 3, 5))
    np.testing.assert_allclose(gram_matrix(np.tile(features, (1, 1, 2, 3))), gram_matrix(features), rtol=1e-13)


def test_a_masked_gram_matrix_weighs_the_positions(rng):
    features, mask = rng.normal(size=(1, 4, 3, 5)), rng.uniform(size=(3, 5))
    expected = np.einsum("hw,ihw,jhw->ij", mask, features[0], features[0]) / mask.sum()
    np.testing.assert_allclose(gram_matrix(features, mask), expected, rtol=1e-12, atol=1e-14)


def test_a_mask_of_ones_and_zeros_cuts_out_a_part(rng):
    features, mask = rng.normal(size=(1, 4, 3, 5)), np.zeros((3, 5))
    mask[:, 2:] = 1
    np.testing.assert_allclose(gram_matrix(features, mask), gram_matrix(features[..., 2:]), rtol=1e-12, atol=1e-14)
    gradient, cut = np.zeros_like(features), np.zeros((1, 4, 3, 3))
    add_gram_gradient(features, np.eye(4), gradient, mask)
    add_gram_gradient(features[..., 2:], np.eye(4), cut)
    np.testing.assert_allclose(gradient[..., 2:], cut, rtol=1e-10, atol=1e-14)
    assert not gradient[..., :2].any()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_content_loss_is_the_formula(rng, normalization):
    p, f = rng.normal(size=(2, 1, 4, 3, 5))
    channels, positions = 4, 15
    k = {
        "relative": 1 / np.sum(p**2),
        "gatys": 1 / (2 * channels * positions),
        "gram": 1 / (channels * positions),
    }[normalization]
    loss = ContentLoss(p, normalization, weight=3.0)
    assert loss.forward(f) == pytest.approx(3 * k * np.sum((f - p) ** 2), rel=1e-13)
    np.testing.assert_allclose(gradient_of(loss, f), 2 * 3 * k * (f - p), rtol=1e-13)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_style_loss_is_the_formula(rng, normalization):
    a, f = written_out_gram(rng.normal(size=(1, 4, 6, 7))), rng.normal(size=(1, 4, 3, 5))
    channels, positions = 4, 15
    k = {
        "relative": 1 / np.sum(a**2),
        "gatys": 1 / (4 * channels**2),
        "gram": 1 / channels**4,
    }[normalization]
    difference = written_out_gram(f) - a
    loss = StyleLoss(a, normalization, weight=3.0)
    assert loss.forward(f) == pytest.approx(3 * k * np.sum(difference**2), rel=1e-13)
    expected = 4 * 3 * k / positions * np.einsum("ij,njhw->nihw", difference, f)
    np.testing.assert_allclose(gradient_of(loss, f), expected, rtol=1e-12, atol=1e-15)


def losses(rng, normalization):
    target = rng.normal(size=(1, 3, 4, 5))
    return {
        "content": ContentLoss(target, normalization, weight=1.7),
        "style": StyleLoss(gram_matrix(target), normalization, weight=1.7),
        "total variation": TotalVariation(weight=1.7),
    }


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", ["content", "style", "total variation"])
def test_gradients_agree_with_finite_differences(rng, name, normalization):
    loss = losses(rng, normalization)[name]
    features = rng.normal(size=(1, 3, 4, 5))
    expected = numerical_gradient(loss.forward, features)
    loss.forward(features)
    np.testing.assert_allclose(gradient_of(loss, features), expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_gradients_agree_with_pytorch(rng):
    torch = pytest.importorskip("torch")
    target, other, f = (
        rng.normal(size=(1, 8, 6, 7)),
        rng.normal(size=(1, 8, 5, 9)),
        rng.normal(size=(1, 8, 6, 7)),
    )

    def gram(features):
        flat = features.flatten(2)[0]
        return flat @ flat.T / flat.shape[1]

    f_torch = torch.from_numpy(f).requires_grad_()
    p, a = torch.from_numpy(target), gram(torch.from_numpy(other))
    total = (f_torch - p).square().sum() / p.square().sum()
    total = total + 100 * (gram(f_torch) - a).square().sum() / a.square().sum()
    straight = f_torch.diff(dim=2).square().sum() + f_torch.diff(dim=3).square().sum()
    falling = (f_torch[..., 1:, 1:] - f_torch[..., :-1, :-1]).square().sum()
    rising = (f_torch[..., 1:, :-1] - f_torch[..., :-1, 1:]).square().sum()
    total = total + 5 * (2 / 3 * straight + 1 / 6 * (falling + rising)) / f.size
    total.backward()

    ours = [ContentLoss(target), StyleLoss(gram_matrix(other), weight=100), TotalVariation(weight=5)]
    assert sum(loss.forward(f) for loss in ours) == pytest.approx(total.item(), rel=1e-13)
    together = np.zeros_like(f)
    for loss in ours:
        loss.backward(f, together)
    np.testing.assert_allclose(together, f_torch.grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["content", "style", "total variation"])
def test_float32_stays_float32_and_is_summed_in_float64(name):
    rng = np.random.default_rng(2)
    target = rng.normal(size=(1, 3, 200, 300))
    features = rng.normal(size=target.shape)

    def run(dtype):
        p, f = target.astype(dtype), features.astype(dtype)
        loss = {
            "content": ContentLoss(p),
            "style": StyleLoss(gram_matrix(p)),
            "total variation": TotalVariation(),
        }
        return loss[name].forward(f), gradient_of(loss[name], f)

    exact, exact_gradient = run(np.float64)
    value, gradient = run(np.float32)
    assert isinstance(value, float)
    assert gradient.dtype == np.float32
    assert np.linalg.norm(gradient - exact_gradient) <= 1e-3 * np.linalg.norm(exact_gradient)
    if name == "style":  # the Gram matrix itself is float32, and the difference of two close ones loses digits
        assert value == pytest.approx(exact, rel=1e-3)
    else:
        assert value == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("name", ["content", "style", "total variation"])
def test_gradients_are_added_and_features_are_not_written_to(rng, name):
    loss = losses(rng, "relative")[name]
    features, total = rng.normal(size=(2, 1, 3, 4, 5))
    features.flags.writeable = False
    value = loss.forward(features)
    first = gradient_of(loss, features)
    assert loss.forward(features) == value
    together = total.copy()
    loss.backward(features, together)
    np.testing.assert_allclose(together, total + first, rtol=1e-12)


def test_each_forward_of_a_style_loss_serves_one_backward(rng):
    loss, features = losses(rng, "relative")["style"], rng.normal(size=(1, 3, 4, 5))
    with pytest.raises(RuntimeError, match="needs a forward"):
        gradient_of(loss, features)
    loss.forward(features)
    gradient_of(loss, features)
    with pytest.raises(RuntimeError, match="serves one backward"):
        gradient_of(loss, features)


GRAM_SHAPES = [(1, 1, 1), (3, 4, 5), (7, 1, 9), (16, 8, 16), (20, 37, 31), (96, 16, 24), (290, 9, 15)]


@pytest.mark.usefixtures("each_backend")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("shape", GRAM_SHAPES)
def test_gram_matrices_and_their_gradients_at_every_edge_of_the_tiles(rng, shape, dtype, tolerance, masked):
    features = rng.normal(size=(1, *shape)).astype(dtype)
    mask = rng.uniform(size=shape[1:]).astype(dtype) if masked else None
    slope = rng.normal(size=(shape[0],) * 2)
    slope = (slope + slope.T).astype(dtype)
    total = rng.normal(size=(1, *shape)).astype(dtype)
    weights = np.ones(shape[1:]) if mask is None else mask.astype(np.float64)
    weighted = features * (weights / weights.sum())
    expected = np.einsum("cyx,dyx->cd", features[0].astype(np.float64), weighted[0])
    expected_total = total + 2 * np.einsum("cd,ndyx->ncyx", slope.astype(np.float64), weighted)
    gram = gram_matrix(features, mask)
    add_gram_gradient(features, slope, total, mask)
    assert gram.dtype == total.dtype == dtype
    np.testing.assert_array_equal(gram, gram.T)
    assert np.abs(gram - expected).max() <= tolerance * np.abs(expected).max()
    assert np.abs(total - expected_total).max() <= tolerance * np.abs(expected_total).max()


def test_gram_matrices_of_arrays_that_kernels_cannot_read(rng):
    features, slope = rng.normal(size=(1, 3, 8, 10))[:, :, ::2, ::2], np.eye(3)
    total = np.zeros((1, 3, 8, 10))
    add_gram_gradient(features, slope, total[:, :, ::2, ::2])
    np.testing.assert_allclose(gram_matrix(features), gram_matrix(features.copy()), rtol=1e-13)
    np.testing.assert_allclose(total[:, :, ::2, ::2], features / 10, rtol=1e-13)
    assert not total[:, :, 1::2].any()


def test_style_accepts_pictures_of_another_size(rng):
    loss = StyleLoss(gram_matrix(rng.normal(size=(1, 3, 8, 2))))
    features = rng.normal(size=(1, 3, 5, 6))
    expected = numerical_gradient(loss.forward, features)
    loss.forward(features)
    np.testing.assert_allclose(gradient_of(loss, features), expected, rtol=1e-6, atol=1e-8)


def test_losses_say_what_is_wrong(rng):
    features = rng.normal(size=(1, 3, 4, 5))
    with pytest.raises(ValueError, match=f"normalization must be one of {', '.join(COMPARISONS)}, got 'l2'"):
        ContentLoss(features, "l2")
    with pytest.raises(ValueError, match="normalization must be one of relative, gatys, gram, got 'wasserstein'"):
        StyleLoss(gram_matrix(features), "wasserstein")
    with pytest.raises(ValueError, match="one picture, shape \\(1, C, H, W\\), got \\(2, 3, 4, 5\\)"):
        gram_matrix(np.repeat(features, 2, axis=0))
    with pytest.raises(ValueError, match="Gram matrix of shape \\(C, C\\), got \\(1, 3, 4, 5\\)"):
        StyleLoss(features)
    with pytest.raises(ValueError, match="the target's shape \\(1, 3, 4, 5\\) and dtype float64"):
        ContentLoss(features).forward(features[:, :, 1:])
    with pytest.raises(ValueError, match="dtype float64, got \\(1, 3, 4, 5\\) and float32"):
        ContentLoss(features).forward(features.astype(np.float32))
    with pytest.raises(ValueError, match="the target's 3 channels and dtype float64, got 2 and float64"):
        StyleLoss(gram_matrix(features)).forward(features[:, :2])
    for value in (0, -1, np.nan):
        with pytest.raises(ValueError, match=f"mask must have values of at least 0 and one above it, got {value} to"):
            gram_matrix(features, np.full((4, 5), value, float))
    with pytest.raises(ValueError, match="not all zeros"):
        ContentLoss(np.zeros_like(features))


def test_shapes_that_do_not_fit_are_refused():
    features, slope = np.ones((1, 4, 6, 5), np.float32), np.eye(4, dtype=np.float32)
    with pytest.raises(ValueError, match=r"mask must have the features' shape \(6, 5\), got \(2, 2\)"):
        gram_matrix(features, np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"slope must have shape \(4, 4\), got \(3, 3\)"):
        add_gram_gradient(features, slope[:3, :3], np.zeros_like(features))
    with pytest.raises(ValueError, match="total must have the features' shape"):
        add_gram_gradient(features, slope, np.zeros((1, 4, 3, 5), np.float32))
    with pytest.raises(ValueError, match=r"total must have .* float32, got .* float64"):
        add_gram_gradient(features, slope, np.zeros(features.shape))
