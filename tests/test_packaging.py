"""The wheel: built, installed and used as a stranger would."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fastconv

CHECKOUT = Path(__file__).parents[1]
USE_IT = """
import importlib, importlib.metadata, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import fastconv
modules = [module.name for module in pkgutil.walk_packages(fastconv.__path__, "fastconv.")]
for name in modules:
    importlib.import_module(name)
result = fastconv.conv2d(np.ones((1, 2, 5, 5), np.float32), np.ones((3, 2, 3, 3), np.float32), algorithm="direct")
scripts = importlib.metadata.distribution("fastconv").entry_points.select(group="console_scripts")
json.dump({
    "file": fastconv.__file__,
    "modules": modules,
    "result": result.tolist(),
    "version": importlib.metadata.version("fastconv"),
    "scripts": {script.name: script.value for script in scripts},
}, sys.stdout)
"""


def _run(*command, cwd):
    # The checkout must not be found by way of the environment.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=CHECKOUT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def used(wheel, tmp_path_factory):
    """What a process in another folder finds in the installed wheel."""
    target, elsewhere = tmp_path_factory.mktemp("target"), tmp_path_factory.mktemp("elsewhere")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run(*pip, "--no-deps", "--no-index", "--no-compile", "--target", str(target), str(wheel), cwd=elsewhere)
    found = json.loads(_run(sys.executable, "-c", USE_IT, str(target), cwd=elsewhere))
    return target, found


def test_the_installed_package_is_the_one_used(used):
    target, found = used
    assert Path(found["file"]).is_relative_to(target)
    assert found["version"] == fastconv.__version__
    assert found["scripts"] == {"fastconv": "fastconv.cli:main"}


def test_every_module_is_there_and_imports(used):
    _, found = used
    sources = (CHECKOUT / "fastconv").rglob("*.py")
    names = {path.relative_to(CHECKOUT).with_suffix("").as_posix().replace("/", ".") for path in sources}
    expected = {name.removesuffix(".__init__") for name in names} - {"fastconv"}
    assert set(found["modules"]) == expected


def test_its_kernels_run(used):
    _, found = used
    assert found["result"] == [[[[18.0] * 3] * 3] * 3]


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"fastconv", f"fastconv-{fastconv.__version__}.dist-info"}
    assert "fastconv/py.typed" in names
    assert f"fastconv-{fastconv.__version__}.dist-info/licenses/LICENSE" in names


def test_kernels_alone_need_little(wheel):
    metadata = zipfile.ZipFile(wheel).read(f"fastconv-{fastconv.__version__}.dist-info/METADATA").decode()
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:")]
    always = sorted(line.split()[1].split(">")[0] for line in needed if "extra ==" not in line)
    assert always == ["numba", "numpy", "platformdirs", "tbb"]
    assert not [line for line in needed if "torch" in line]
