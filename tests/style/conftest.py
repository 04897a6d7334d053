"""Fixtures that tests of style transfer share: a small network, pictures, and a short run."""

import numpy as np
import pytest

from fastconv import weights as vgg_weights
from fastconv.style import stylize

from .helpers import thin_layers


@pytest.fixture(scope="session")
def thin(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "none.npz"
    return vgg_weights.VGGWeights(thin_layers(), "random", "ab" * 32, path, exact=True)


@pytest.fixture(scope="session")
def pictures():
    """A photograph and two paintings: coarse colours, and noise without which poolings meet ties."""
    rng = np.random.default_rng(3)

    def picture(height, width):
        coarse = np.kron(rng.uniform(0, 255, (4, 4, 3)), np.ones((-(-height // 4), -(-width // 4), 1)))
        noisy = coarse[:height, :width] + rng.normal(size=(height, width, 3))
        return np.clip(noisy, 0, 255).astype(np.float32)

    return picture(32, 48), picture(40, 40), picture(36, 30)


@pytest.fixture(scope="session")
def run(thin, pictures):
    """Run a short transfer over three scales, with other options where they are named."""

    def run(content=pictures[0], styles=pictures[1], **options):
        defaults = {"size": 48, "min_scale": 32, "steps": 3, "weights": thin}
        return stylize(content, styles, **{**defaults, **options})

    return run


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def real_weights():
    try:
        return vgg_weights.load(offline=True)
    except vgg_weights.WeightsError as error:
        pytest.skip(str(error))
