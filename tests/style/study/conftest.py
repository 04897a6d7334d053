"""Weights that have been loaded."""

import pytest

from fastconv.weights import load as load_weights


@pytest.fixture
def weights(folder, random_weights):
    return load_weights(random_weights)
