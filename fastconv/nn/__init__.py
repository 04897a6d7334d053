"""Layers, losses, an optimiser and VGG-19, each with a forward and a backward pass.

Everything here is NumPy arrays in and NumPy arrays out, on top of the convolution and pooling of `fastconv`.
There is no automatic differentiation: each object remembers what its own backward pass needs.
"""

from fastconv.nn.grams import gram_matrix
from fastconv.nn.layers import AvgPool2d, Conv2d, Layer, MaxPool2d, ReLU, Sequential
from fastconv.nn.losses import ContentLoss, StyleLoss
from fastconv.nn.optim import Adam
from fastconv.nn.total_variation import TotalVariation
from fastconv.nn.vgg import VGG19
from fastconv.nn.wasserstein import WassersteinLoss, feature_moments

__all__ = [
    "VGG19",
    "Adam",
    "AvgPool2d",
    "ContentLoss",
    "Conv2d",
    "Layer",
    "MaxPool2d",
    "ReLU",
    "Sequential",
    "StyleLoss",
    "TotalVariation",
    "WassersteinLoss",
    "feature_moments",
    "gram_matrix",
]
