"""Adam: against PyTorch, its published properties, and its state."""

import numba
import numpy as np
import pytest

from fastconv.nn import Adam


@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-13), (np.float32, 1e-5)])
@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.9, 0.999), (0.0, 0.5)])
def test_agrees_with_pytorch(dtype, bound, betas):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    ours = rng.normal(size=(3, 8, 9)).astype(dtype)
    theirs = torch.from_numpy(ours.astype(np.float64)).requires_grad_()
    adam = Adam(ours, 0.05, betas=betas, eps=1e-6)
    adam_torch = torch.optim.Adam([theirs], lr=0.05, betas=betas, eps=1e-6)
    for step in range(30):
        gradient = (rng.normal(size=ours.shape) * 10.0 ** (step % 5 - 2)).astype(dtype)
        adam.step(gradient)
        theirs.grad = torch.from_numpy(gradient.astype(np.float64))
        adam_torch.step()
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=bound)


def test_first_step_is_the_learning_rate_against_the_sign():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    Adam(x, 0.5).step(np.array([1e-3, -1.0, 1e6, 0.0]))
    np.testing.assert_allclose(x, [0.5, 2.5, 2.5, 4.0], atol=1e-5)


def test_a_factor_of_the_gradient_divides_out():
    rng = np.random.default_rng(1)
    plain, scaled = np.zeros(50), np.zeros(50)
    adam, adam_scaled = Adam(plain, 0.1, eps=1e-30), Adam(scaled, 0.1, eps=1e-30)
    for _ in range(20):
        gradient = rng.normal(size=50)
        adam.step(gradient)
        adam_scaled.step(1e6 * gradient)
    np.testing.assert_allclose(plain, scaled, rtol=1e-12, atol=1e-13)


def test_finds_the_minimum_of_a_badly_scaled_bowl():
    scales, x = np.array([1.0, 100.0, 1e4]), np.array([1.0, -2.0, 3.0])
    adam = Adam(x, 0.05, betas=(0.9, 0.99))
    for _ in range(2000):
        adam.step(2 * scales * (x - 0.5))
    np.testing.assert_allclose(x, 0.5, atol=0.02)  # a constant rate ends in steps smaller than itself


def test_changes_the_parameter_in_place_and_not_the_gradient():
    x, gradient = np.ones(3), np.ones(3)
    gradient.flags.writeable = False
    adam = Adam(x, 0.1)
    adam.step(gradient)
    assert adam.parameter is x
    assert np.all(x < 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 9, 70_001])
def test_elements_that_are_alike_move_alike(dtype, size):
    x = np.full(size, 0.3, dtype)
    adam = Adam(x, 0.07, betas=(0.9, 0.99))
    for slope in (0.7, -0.2, 0.1):
        adam.step(np.full(size, slope, dtype))
    for array in (x, adam.m, adam.v):
        assert np.all(array == array[0])
    assert abs(x[0] - 0.3) > 0.01


def test_any_layout_will_do():
    rng = np.random.default_rng(3)
    plain = rng.normal(size=(4, 10))
    gradients = rng.normal(size=(5, 4, 10))
    apart = np.zeros((8, 20), order="F")
    apart[::2, ::2] = plain
    expected, strided = Adam(plain, 0.1), Adam(apart[::2, ::2], 0.1)
    for gradient in gradients:
        expected.step(gradient)
        strided.step(np.asfortranarray(gradient))
    assert np.array_equal(apart[::2, ::2], plain)
    assert not apart[1::2].any()
    assert not apart[:, 1::2].any()


def test_without_compiled_kernels_the_steps_are_the_same(monkeypatch):
    rng = np.random.default_rng(4)
    compiled, plain = np.zeros(30), np.zeros(30)
    adam, adam_plain = Adam(compiled, 0.1), Adam(plain, 0.1)
    for gradient in rng.normal(size=(5, 30)):
        adam.step(gradient)
        with monkeypatch.context() as context:
            context.setattr(numba.config, "DISABLE_JIT", 1)
            adam_plain.step(gradient)
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=1e-15)


def test_goes_on_from_a_saved_state_bit_for_bit():
    rng = np.random.default_rng(2)
    gradients = rng.normal(size=(10, 6)).astype(np.float32)
    straight = np.zeros(6, np.float32)
    adam = Adam(straight, 0.1)
    for gradient in gradients:
        adam.step(gradient)

    broken = np.zeros(6, np.float32)
    before = Adam(broken, 0.1)
    for gradient in gradients[:4]:
        before.step(gradient)
    after = Adam(broken.copy(), 0.1)
    after.m, after.v, after.t = before.m.copy(), before.v.copy(), before.t
    for gradient in gradients[4:]:
        after.step(gradient)
    assert np.array_equal(after.parameter, straight)


@pytest.mark.parametrize(
    ("parameter", "options", "error", "message"),
    [
        (np.zeros(3, np.int64), {}, TypeError, "parameter must be a float32 or float64 array, got int64"),
        ([1.0], {}, TypeError, "parameter must be a float32 or float64 array, got list"),
        (np.zeros(3), {"learning_rate": 0}, ValueError, "learning_rate must be above 0, got 0"),
        (np.zeros(3), {"learning_rate": float("nan")}, ValueError, "learning_rate must be above 0, got nan"),
        (np.zeros(3), {"betas": (0.9, 1.0)}, ValueError, "betas must be two numbers in \\[0, 1\\)"),
        (np.zeros(3), {"eps": -1}, ValueError, "eps must be above 0, got -1"),
        (np.broadcast_to(0.0, 3), {}, ValueError, "parameter must be writable"),
    ],
)
def test_says_what_is_wrong(parameter, options, error, message):
    with pytest.raises(error, match=message):
        Adam(parameter, **options)


def test_refuses_a_gradient_that_does_not_fit():
    adam = Adam(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="shape \\(2, 3\\) and dtype float64, got \\(3,\\) and float64"):
        adam.step(np.zeros(3))
    with pytest.raises(ValueError, match="got \\(2, 3\\) and float32"):
        adam.step(np.zeros((2, 3), np.float32))
    assert adam.t == 0


def test_moments_that_were_put_back_are_checked_and_copied_if_need_be():
    optimizer = Adam(np.ones(64, np.float32))
    optimizer.m = np.zeros(16, np.float32)
    with pytest.raises(ValueError, match=r"m must have the parameter's shape \(64,\), got \(16,\)"):
        optimizer.step(np.ones(64, np.float32))
    stored = np.frombuffer(bytes(256), np.float32)  # cannot be written to
    optimizer.m, optimizer.v = stored, stored
    optimizer.step(np.ones(64, np.float32))
    assert not stored.any()
    assert optimizer.m.all()
