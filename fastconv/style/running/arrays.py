"""Snapshots as arrays that a file can hold, and back, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from fastconv.style.algorithm.scales import Scale
from fastconv.style.transfer import LossRecord, Snapshot
from fastconv.style.transfer.snapshot import AdamSnapshot, LBFGSSnapshot

Arrays: TypeAlias = dict[str, Any]  # of ndarray


def to_arrays(snapshot: Snapshot) -> Arrays:
    """Return all of a snapshot but the state of its random numbers, which is JSON already."""
    optimizer = snapshot.optimizer
    arrays = {
        "scale": np.array([*snapshot.scale.size, snapshot.scale.steps, snapshot.step]),
        "average": snapshot.average,
        "averaging": np.array([snapshot.decay, snapshot.weight]),
        "losses": np.array(snapshot.losses, np.float64).reshape(-1, len(LossRecord._fields)),
        **(_from_adam(optimizer) if isinstance(optimizer, AdamSnapshot) else _from_lbfgs(optimizer)),
    }
    return arrays if snapshot.sound is None else {**arrays, "sound": snapshot.sound}


def from_arrays(arrays: Arrays, random: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that `to_arrays` has turned into arrays."""
    height, width, steps, step = map(int, arrays["scale"])
    decay, weight = map(float, arrays["averaging"])
    return Snapshot(
        scale=Scale(height, width, steps),
        step=step,
        optimizer=_to_adam(arrays) if "adam" in arrays else _to_lbfgs(arrays),
        average=arrays["average"],
        decay=decay,
        weight=weight,
        sound=arrays.get("sound"),
        losses=tuple(LossRecord(int(scale), int(step), *rest) for scale, step, *rest in arrays["losses"].tolist()),
        random=random,
    )


def _from_adam(optimizer: AdamSnapshot) -> Arrays:
    numbers = [optimizer.learning_rate, *optimizer.betas, optimizer.eps, optimizer.t]
    return {"image": optimizer.parameter, "m": optimizer.m, "v": optimizer.v, "adam": np.array(numbers)}


def _to_adam(arrays: Arrays) -> AdamSnapshot:
    learning_rate, beta1, beta2, eps, t = map(float, arrays["adam"])
    return AdamSnapshot(arrays["image"], arrays["m"], arrays["v"], learning_rate, (beta1, beta2), eps, int(t))


def _from_lbfgs(optimizer: LBFGSSnapshot) -> Arrays:
    bounds = (-np.inf, np.inf) if optimizer.bounds is None else optimizer.bounds
    factor = np.nan if optimizer.factor is None else optimizer.factor
    return {"image": optimizer.start, "lbfgs": np.array([optimizer.learning_rate, factor, *bounds])}


def _to_lbfgs(arrays: Arrays) -> LBFGSSnapshot:
    learning_rate, factor, low, high = map(float, arrays["lbfgs"])
    bounds = None if np.isinf(low) else (low, high)
    return LBFGSSnapshot(arrays["image"], learning_rate, bounds, None if np.isnan(factor) else factor)
