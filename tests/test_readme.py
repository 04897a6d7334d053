"""The README's promises: its Python runs, its links lead somewhere, its commands are those of the project."""

import re
from pathlib import Path

import numpy as np
import pytest

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_its_python_runs():
    names = {}
    blocks = [block for block in PYTHON if "fastconv.style" not in block]  # which needs weights and pictures
    for block in blocks:
        exec(block, names)
    assert len(blocks) >= 3
    expected = names["fastconv"].conv2d(names["x"], names["weight"], padding=1, algorithm="im2col")
    np.testing.assert_allclose(names["y"], expected, atol=1e-3)
    assert names["gradients"].weight.shape == names["weight"].shape
    assert names["grad_x"].shape == names["x"].shape


def test_its_style_transfer_is_the_public_one():
    style = pytest.importorskip("fastconv.style")
    (block,) = [block for block in PYTHON if "fastconv.style" in block]
    assert "import stylize" in block
    assert {"image", "losses", "settings"} <= set(style.Result.__annotations__)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^):]+)\)", README))))
def test_a_link_leads_to_a_file(link):
    assert (CHECKOUT / link).is_file()


@pytest.mark.parametrize(
    "command",
    [
        "python3 -m venv .venv && .venv/bin/pip install '.[all]' && .venv/bin/fastconv style --demo",
        ".venv/bin/pytest",
    ],
)
def test_the_commands_that_ci_takes_from_it_are_lines_of_their_own(command):
    assert command in README.splitlines()
