"""What several tests of style transfer need: small networks, pictures, and measures."""

import tracemalloc
from contextlib import contextmanager

import numpy as np
from PIL import Image

from fastconv.nn.vgg_layers import LAYERS

# The first layers and few steps, so that a run of the command takes a moment.
QUICK = ["--steps", "2", "--content-layers", "relu2_2", "--style-layers", "relu1_1,relu2_1"]


def thin_layers(widths=(6, 8, 8, 6, 5), dtype=np.float32):
    """Return random weights of a few channels that keep the features' variance from layer to layer."""
    rng = np.random.default_rng(7)
    layers, channels = {}, 3
    for name in (layer.weights for layer in LAYERS if layer.weights):
        width = widths[int(name[4]) - 1]
        weight = rng.normal(0, np.sqrt(2 / (9 * channels)), (width, channels, 3, 3))
        layers[name] = weight.astype(dtype), rng.normal(0, 0.1, width).astype(dtype)
        channels = width
    return layers


def noise(height, width, seed=0):
    """Return a picture in which no two pixels are alike, so that poolings meet no ties."""
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


def distance(a, b):
    """Return the norm of a difference relative to that of `b`."""
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@contextmanager
def traced():
    """Count what Python and NumPy allocate; the list that is given gets the peak, in bytes."""
    peak = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def size_of(path):
    """Return width and height of a picture file."""
    with Image.open(path) as image:
        return image.size
