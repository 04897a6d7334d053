"""Optimisers: they change an array in place, given the gradient of a loss with respect to it."""

from __future__ import annotations

import math

import numpy as np

from fastconv.backend import backend
from fastconv.geometry import Array


class Adam:
    """Gradient descent with steps scaled by running moments of the gradient.

    Parameters
    ----------
    parameter : ndarray, float32 or float64
        What to optimise, changed in place by `step`. Use one `Adam` for each array.
    learning_rate : float
        About the size of the first step, in the parameter's own units (for a picture: grey levels).
    betas : (float, float)
        Decay rates of the running mean and of the running mean square, both in [0, 1).
    eps : float
        Added to the root of the mean square, so that a zero gradient does not divide by zero.

    Attributes
    ----------
    m, v : ndarray
        Running mean and mean square of the gradient, not yet corrected for bias; of the parameter's shape and
        dtype.
    t : int
        Number of steps taken. With `parameter`, these three are the whole state: save them to go on later.

    Notes
    -----
    Kingma and Ba, arXiv:1412.6980, algorithm 1.
    """

    def __init__(
        self,
        parameter: Array,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not isinstance(parameter, np.ndarray) or parameter.dtype not in (np.float32, np.float64):
            came = parameter.dtype if isinstance(parameter, np.ndarray) else type(parameter).__name__
            raise TypeError(f"parameter must be a float32 or float64 array, got {came}")
        if not parameter.flags.writeable:
            raise ValueError("parameter must be writable: it is changed in place")
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")
        if not eps > 0:
            raise ValueError(f"eps must be above 0, got {eps}")
        self.parameter = parameter
        self.learning_rate = float(learning_rate)
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps = float(eps)
        self.m: Array = np.zeros_like(parameter)
        self.v: Array = np.zeros_like(parameter)
        self.t = 0

    def step(self, gradient: Array) -> None:
        """Move the parameter one step against `gradient`, an array of its shape and dtype."""
        if gradient.shape != self.parameter.shape or gradient.dtype != self.parameter.dtype:
            raise ValueError(
                f"gradient must have the parameter's shape {self.parameter.shape} and dtype "
                f"{self.parameter.dtype}, got {gradient.shape} and {gradient.dtype}"
            )
        beta1, beta2 = self.betas
        self.t += 1
        # The corrections for the moments' start at zero are scalars, so they cost nothing here.
        of_root = 1 / math.sqrt(1 - beta2**self.t)
        of_m = self.learning_rate / (1 - beta1**self.t)
        self._update((beta1, 1 - beta1, beta2, 1 - beta2, of_root, self.eps, of_m), gradient)

    def _update(self, factors: tuple[float, ...], gradient: Array) -> None:
        """Hand over arrays as kernels want them: C-contiguous, and of one dtype."""
        dtype = self.parameter.dtype
        for name, moment in (("m", self.m), ("v", self.v)):
            if moment.shape != self.parameter.shape:
                raise ValueError(f"{name} must have the parameter's shape {self.parameter.shape}, got {moment.shape}")
        self.m, self.v = (np.require(moment, dtype, ("C", "A", "W")) for moment in (self.m, self.v))
        parameter, gradient = (np.require(array, dtype, ("C", "A")) for array in (self.parameter, gradient))
        backend().adam_step(parameter, gradient, self.m, self.v, factors)
        if parameter is not self.parameter:
            self.parameter[...] = parameter
