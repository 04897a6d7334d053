"""L-BFGS, asked where to go and told what was found there."""

import gc
import threading

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from fastconv.style.algorithm import lbfgs as lbfgs_module
from fastconv.style.algorithm.lbfgs import LBFGS
from fastconv.style.transfer import memory

from ..helpers import traced


def descend(optimizer, steps, function=rosen, gradient=rosen_der):
    losses = []
    for _ in range(steps):
        losses.append(function(optimizer.parameter))
        optimizer.step(losses[-1], gradient(optimizer.parameter))
    return losses


def test_lbfgs_finds_the_minimum_step_by_step():
    optimizer = LBFGS(np.array([-1.2, 1.0, 0.5, -0.3]), 0.1)
    losses = descend(optimizer, 120)
    assert rosen(optimizer.best) == min(losses) < 1e-12
    assert rosen(optimizer.best) <= minimize(rosen, [-1.2, 1, 0.5, -0.3], jac=rosen_der, method="L-BFGS-B").fun


def test_the_first_move_of_lbfgs_is_as_long_as_the_learning_rate():
    start = np.full((1, 3, 4, 5), 100.0)
    optimizer = LBFGS(start, 7.0, bounds=(0, 255))
    gradient = np.random.default_rng(0).normal(size=start.shape)
    optimizer.step(1e9, 1e-9 * gradient)
    move = optimizer.parameter - start
    assert np.sqrt(np.mean(move**2)) == pytest.approx(7)
    assert np.vdot(move, gradient) == pytest.approx(-np.linalg.norm(move) * np.linalg.norm(gradient))
    assert start.min() == 100


def test_lbfgs_keeps_within_its_bounds():
    optimizer = LBFGS(np.array([0.2, 0.1]), 0.5, bounds=(0, 0.7))
    seen = []
    descend(optimizer, 60, lambda x: seen.append(x.copy()) or rosen(x))
    assert min(map(np.min, seen)) >= 0
    assert max(map(np.max, seen)) <= 0.7
    np.testing.assert_allclose(optimizer.best, [0.7, 0.49], atol=1e-5)


def test_lbfgs_goes_on_where_a_noisy_gradient_ends_the_search(monkeypatch):
    monkeypatch.setattr(lbfgs_module, "RESTART_EVERY", 15)
    rng = np.random.default_rng(3)
    scales = np.logspace(0, 3, 40)

    def noisy(x):  # as float32 makes it: a loss that jumps, and a gradient that is not quite the loss's
        return float(np.sum(scales * x**2) * (1 + 1e-5 * rng.normal()))

    optimizer = LBFGS(np.ones(40, np.float32), 0.1)
    losses = descend(optimizer, 200, noisy, lambda x: 2 * scales * x * (1 + 1e-3 * rng.normal(size=40)))
    assert len(losses) == 200
    assert optimizer.parameter.dtype == np.float32
    assert noisy(optimizer.best) < 1e-4 * losses[0]


def test_lbfgs_at_a_minimum_stays_there():
    optimizer = LBFGS(np.ones(3), 1.0)
    descend(optimizer, 5)
    np.testing.assert_array_equal(optimizer.best, np.ones(3))


def test_the_thread_of_lbfgs_ends_with_it():
    before = set(threading.enumerate())
    optimizer = LBFGS(np.zeros(3), 0.1)
    descend(optimizer, 3)
    (thread,) = set(threading.enumerate()) - before
    del optimizer
    gc.collect()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_what_goes_wrong_in_the_thread_of_lbfgs_is_raised(monkeypatch):
    def fail(function, start, **options):
        function(start)
        raise ArithmeticError("inside")

    monkeypatch.setattr("scipy.optimize.fmin_l_bfgs_b", fail)
    optimizer = LBFGS(np.zeros(3), 0.1)
    with pytest.raises(ArithmeticError, match="inside"):
        optimizer.step(1.0, np.ones(3))


def test_lbfgs_says_what_is_wrong_with_a_gradient():
    with pytest.raises(ValueError, match=r"gradient must have the parameter's shape \(3,\), got \(2,\)"):
        LBFGS(np.zeros(3), 0.1).step(1.0, np.ones(2))


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
    counted = memory.SEARCH + (memory.BOUNDS if bounds else 0) + 4 * 3 * 2
    assert peak[0] == pytest.approx(counted * pixels, rel=0.15)
