"""A library that is missing is told with the command that installs it."""

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

from fastconv.cli import extras, info

from .helpers import raiser

pytestmark = pytest.mark.usefixtures("isolated")


def modules_of(extra):
    """Return the modules that an extra of the project file adds to those of the extras within it."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module_of = {"Pillow": "PIL", "scikit-image": "skimage", "imageio-ffmpeg": "imageio_ffmpeg"}
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in project["optional-dependencies"][extra]]
    return [module_of.get(name, name) for name in names if name != "fastconv"]


@pytest.fixture
def without(monkeypatch):
    """Return a function that makes a library impossible to import."""

    def hide(name):
        for module in [module for module in sys.modules if module.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_told_with_the_command(run, without, published_mat):
    without("scipy")
    code, out, err = run("weights", "convert", str(published_mat))
    assert (code, out) == (2, "")
    assert err == "fastconv: scipy is not installed; this command needs: pip install 'fastconv[weights]'\n"


@pytest.mark.parametrize(
    ("module", "extra", "told"),
    [
        ("scipy.io", "style", "style"),
        ("PIL", "style", "style"),
        ("skimage", "style", "demo"),
        ("PIL", "weights", "style"),
    ],
)
def test_one_installation_is_enough(module, extra, told):
    error = ModuleNotFoundError(name=module)
    assert f"pip install 'fastconv[{told}]'" in extras.how_to_install(error, extra)


@pytest.mark.parametrize("module", ["fastconv.nothing", "numpy", None])
def test_other_modules_are_errors_of_ours(run, monkeypatch, module):
    monkeypatch.setattr(info, "_versions", raiser(ModuleNotFoundError("oh", name=module)))
    code, _, err = run("info")
    assert code == 1
    assert "Traceback" in err


@pytest.mark.parametrize("extra", ["weights", "style", "movie", "demo", "study"])
def test_every_requirement_of_the_project_file_is_told(extra):
    for module in modules_of(extra):
        assert extras.how_to_install(ModuleNotFoundError(name=module), "weights").endswith(f"'fastconv[{extra}]'")


def test_what_no_single_extra_of_a_command_brings():
    assert "'fastconv[all]'" in extras.how_to_install(ModuleNotFoundError(name="imageio"), "study")


def test_a_checkout_that_was_never_installed(run, without, monkeypatch, published_mat):
    without("scipy")
    monkeypatch.setattr(extras, "requires", raiser(importlib.metadata.PackageNotFoundError))
    code, _, err = run("weights", "convert", str(published_mat))
    assert code == 1
    assert "scipy" in err


@pytest.mark.parametrize("argv", [("info",), ("weights", "list")])
def test_what_does_without(run, without, argv):
    for extra in ("weights", "style", "movie", "demo", "study"):
        for name in modules_of(extra):
            without(name)
    code, out, _ = run(*argv)
    assert code == 0
    assert "vgg19" in out or "none found" in out
