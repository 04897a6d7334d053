"""The README's promises: its Python runs, its links lead somewhere, its commands and figures are the project's."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import readme

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


def rows(text):
    """Return the cells below the titles of the table between the marks, by the first cell and the title."""
    _, _, rest = text.partition(readme.BEGIN)
    table = [line for line in rest.partition(readme.END)[0].splitlines() if line.startswith("|")]
    titles, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {cells[0]: dict(zip(titles, cells, strict=True)) for cells in lines}


def test_its_table_is_a_part_of_the_full_one():
    full = rows(readme.PAGE.read_text("utf-8"))
    short = rows(README)
    assert tuple(short) == readme.README_CASES
    for case, cells in short.items():
        ours = cells.pop("fastconv")
        assert ours == full[case]["auto"] or ours == full[case]["kernels"]
        assert cells.items() <= full[case].items()


def test_one_command_writes_both_tables(tmp_path):
    def benchmark(case, algorithm, seconds):
        return {
            "group": case,
            "extra_info": {"algorithm": algorithm, "mse": 1e-12},
            "stats": {"median": seconds},
        }

    cases = [*readme.README_CASES, "another"]
    results = {
        "machine_info": {"fastconv": {"CPU": "a small one"}},
        "benchmarks": [
            *(benchmark(case, "im2col", 0.03) for case in cases),
            *(benchmark(case, "kernels" if "pooling" in case else "auto", 0.01) for case in cases),
            benchmark(cases[1], "loops", 12.3456),
        ],
    }
    pages = tmp_path / "README.md", tmp_path / "benchmarks.md"
    for page in pages:
        page.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    readme.write(results, *pages)
    short, full = (page.read_text() for page in pages)
    for text in (short, full):
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
        assert "- CPU: a small one\n" in text
    assert list(rows(short)) == list(readme.README_CASES)
    assert list(rows(full)) == cases
    assert list(rows(short)[cases[1]].values())[1:] == ["12300", "30", "10", "1230", "3", "1.0e-12"]
    assert rows(short)[cases[0]]["loops"] == ""
    assert rows(full)["another"]["auto"] == "10"
