"""L-BFGS, one step at a time: it names a point, and the caller tells it the loss and the gradient there.

SciPy's L-BFGS-B calls a function and returns when it is done. Here it runs in a thread of its own. Its function hands
over each point and waits for the loss. So a run stays a loop of single steps, whatever its optimiser.
"""

from __future__ import annotations

import math
import threading
import weakref
from queue import SimpleQueue

import numpy as np

from fastconv.geometry import Array

CORRECTIONS = 5  # pairs of steps and gradients remembered; each costs 16 bytes a value
RESTART_EVERY = 100  # evaluations


class LBFGS:
    """Limited-memory quasi-Newton descent with a line search, each `step` one evaluation of the loss.

    Parameters
    ----------
    start : ndarray, float32 or float64
        Where to begin; not written to.
    learning_rate : float
        Root mean square of the first try's move, in the parameter's own units. What follows is up to the
        line search.
    bounds : (float, float), optional
        Least and largest value.
    dtype : str, optional
        Precision of the points where the loss is evaluated, by default that of `start`.
    factor : float, optional
        As in the attributes, to go on with a search that was begun before.

    Attributes
    ----------
    parameter : ndarray
        Where the loss is to be evaluated next.
    best : ndarray
        Where the loss was lowest so far.
    learning_rate, bounds
        As above.
    start : ndarray, float64, or None
        `parameter` in float64 where a search begins. It and `factor` are all that is needed to go on from there.
    factor : float or None
        What the loss is multiplied by in the search; None before the first step.

    Notes
    -----
    Byrd, Lu, Nocedal and Zhu, SIAM Journal on Scientific Computing 16 (1995), 1190; SciPy's implementation, in
    float64. The search is begun anew from the best point after `RESTART_EVERY` evaluations and when it ends by
    itself, as it does when the noise of a float32 gradient leaves no step downhill to be found.
    """

    def __init__(
        self,
        start: Array,
        learning_rate: float,
        *,
        bounds: tuple[float, float] | None = None,
        dtype: str | None = None,
        factor: float | None = None,
    ) -> None:
        self.parameter = start.astype(dtype or start.dtype)
        self.best = self.parameter.copy()
        self.learning_rate = learning_rate
        self.bounds = bounds
        self.start: Array | None = None
        self.factor = factor
        self._lowest = math.inf
        self._points: SimpleQueue[tuple[Array, bool] | Exception] = SimpleQueue()
        self._answers: SimpleQueue[tuple[float, Array] | None] = SimpleQueue()
        search = (start.astype(np.float64).ravel(), bounds, self._points, self._answers)
        threading.Thread(target=_search, args=search, daemon=True).start()
        weakref.finalize(self, self._answers.put, None)  # the thread, which does not know this object, ends with it
        self._next_point()

    def step(self, loss: float, gradient: Array) -> None:
        """Take note of the loss and its gradient at `parameter`, and move on."""
        if gradient.shape != self.parameter.shape:
            raise ValueError(f"gradient must have the parameter's shape {self.parameter.shape}, got {gradient.shape}")
        if loss < self._lowest:
            self._lowest = loss
            self.best[...] = self.parameter
        if self.factor is None:
            # The first try is a step down the gradient itself, so its length is for us to choose.
            root_mean_square = float(np.sqrt(np.mean(np.square(gradient, dtype=np.float64))))
            self.factor = self.learning_rate / root_mean_square if root_mean_square else 1.0
        self._answers.put((loss * self.factor, gradient.ravel() * np.float64(self.factor)))
        self._next_point()

    def _next_point(self) -> None:
        answer = self._points.get()
        if isinstance(answer, Exception):
            raise answer
        point, begins = answer[0].reshape(self.parameter.shape), answer[1]
        self.parameter[...] = point
        self.start = point if begins else None


class _Stopped(Exception):
    """Nobody asks for points any more."""


class _Exchange:
    """The search's side of the two queues: a point goes out, its loss and gradient come back.

    Attributes
    ----------
    best : ndarray
        The point with the lowest loss so far.
    begins : bool
        Whether a search begins at the next point, which is told with it.
    """

    def __init__(
        self,
        start: Array,
        points: SimpleQueue[tuple[Array, bool] | Exception],
        answers: SimpleQueue[tuple[float, Array] | None],
    ) -> None:
        self.best = start
        self.begins = True
        self._lowest = math.inf
        self._points = points
        self._answers = answers

    def evaluate(self, point: Array) -> tuple[float, Array]:
        """Put the point where the loss is needed, and wait for the answer."""
        self._points.put((point.copy(), self.begins))
        self.begins = False
        answer = self._answers.get()
        if answer is None:
            raise _Stopped
        if answer[0] < self._lowest:
            self._lowest, self.best = answer[0], point.copy()
        return answer


def _search(
    start: Array,
    bounds: tuple[float, float] | None,
    points: SimpleQueue[tuple[Array, bool] | Exception],
    answers: SimpleQueue[tuple[float, Array] | None],
) -> None:
    """Minimise again and again, until nobody asks for points."""
    exchange = _Exchange(start, points, answers)
    try:
        from scipy.optimize import fmin_l_bfgs_b

        # SciPy's `minimize` would make a pair of numbers for each value: half as much memory again as the search takes.
        limits = None if bounds is None else [(float(bounds[0]), float(bounds[1]))] * start.size
        # No tolerance is a reason to stop: the run ends after its steps.
        options = {"m": CORRECTIONS, "factr": 0, "pgtol": 0, "maxfun": RESTART_EVERY, "maxiter": RESTART_EVERY}
        while True:
            exchange.begins = True
            fmin_l_bfgs_b(exchange.evaluate, exchange.best, bounds=limits, **options)
    except _Stopped:
        pass
    except Exception as error:
        points.put(error)
