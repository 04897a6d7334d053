"""What the tests of several losses need."""

import numpy as np


def gradient_of(loss, features):
    """Return what `backward` adds to an array of zeros."""
    total = np.zeros(features.shape, features.dtype)
    loss.backward(features, total)
    return total
