"""The command line's frame, `fastconv info` and `fastconv weights`."""

import dataclasses
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv
from fastconv import cli
from fastconv.weights import SOURCES, MissingWeightsError, cache_dir
from fastconv.weights import fetch as fetching

from . import weight_files

MAT = SOURCES["vgg19"].filename

pytestmark = pytest.mark.usefixtures("isolated")


@pytest.fixture
def run(capsys):
    """Return a function that runs a command line and returns (exit code, standard output, standard error)."""

    def run_command(*argv):
        code = cli.main(argv)
        assert type(code) is int or isinstance(code, cli.Exit)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture
def published_mat(small_network, monkeypatch, tmp_path):
    """A small network as MatConvNet's published file, in ./weights/."""
    path = tmp_path / "weights" / MAT
    path.parent.mkdir()
    weight_files.write_matconvnet(path, small_network)
    content = path.read_bytes()
    hashes = {"sha256": (hashlib.sha256(content).hexdigest(),)}
    monkeypatch.setitem(SOURCES, "vgg19", dataclasses.replace(SOURCES["vgg19"], size=len(content), hashes=hashes))
    return path


class TestFrame:
    def test_version(self, run):
        assert run("--version") == (0, f"fastconv {fastconv.__version__}\n", "")

    def test_help_names_the_exit_codes(self, run):
        code, out, err = run("--help")
        assert (code, err) == (0, "")
        assert re.search(r"3\s+weights\s+missing", out)

    @pytest.mark.parametrize("argv", [(), ("nonsense",), ("weights",), ("info", "--nonsense"), ("weights", "convert")])
    def test_usage(self, run, argv):
        code, out, err = run(*argv)
        assert (code, out) == (2, "")
        assert err.startswith("usage: fastconv")

    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            (cli.CommandError(cli.Exit.OUTPUT, "it exists"), 5, "fastconv: it exists\n"),
            (MissingWeightsError("none"), 3, "fastconv: none\n"),
            (MemoryError("8 GB"), 4, "fastconv: out of memory: 8 GB\n"),
            (KeyboardInterrupt(), 130, "fastconv: interrupted\n"),
        ],
    )
    def test_what_the_user_can_mend_takes_a_line(self, run, monkeypatch, error, code, message):
        monkeypatch.setattr(cli, "_versions", raiser(error))
        assert run("info") == (code, "", message)

    def test_an_internal_error_shows_where(self, run, monkeypatch):
        monkeypatch.setattr(cli, "_versions", raiser(ZeroDivisionError("oh")))
        code, out, err = run("info")
        assert (code, out) == (1, "")
        assert "Traceback" in err
        assert "ZeroDivisionError: oh" in err
        assert "please report" in err

    def test_as_a_process(self, tmp_path):
        command = [sys.executable, "-c", "import sys; from fastconv.cli import main; sys.exit(main())"]
        finished = subprocess.run([*command, "weights", "fetch"], capture_output=True, text=True, env=dict(os.environ))
        assert (finished.returncode, finished.stdout) == (3, "")
        assert "downloads are off" in finished.stderr


def raiser(error):
    def raise_it(*arguments):
        raise error

    return raise_it


def modules_of(extra):
    """Return the modules that an extra of the project file adds to those of the extras within it."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    module_of = {"Pillow": "PIL", "scikit-image": "skimage", "imageio-ffmpeg": "imageio_ffmpeg"}
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in project["optional-dependencies"][extra]]
    return [module_of.get(name, name) for name in names if name != "fastconv"]


class TestMissingExtra:
    @pytest.fixture
    def without(self, monkeypatch):
        """Return a function that makes a library impossible to import."""

        def hide(name):
            for module in [module for module in sys.modules if module.partition(".")[0] == name]:
                monkeypatch.delitem(sys.modules, module)
            monkeypatch.setitem(sys.modules, name, None)

        return hide

    def test_told_with_the_command(self, run, without, published_mat):
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
    def test_one_installation_is_enough(self, module, extra, told):
        error = ModuleNotFoundError(name=module)
        assert f"pip install 'fastconv[{told}]'" in cli._missing_extra(error, extra)

    @pytest.mark.parametrize("module", ["fastconv.nothing", "numpy", None])
    def test_other_modules_are_errors_of_ours(self, run, monkeypatch, module):
        monkeypatch.setattr(cli, "_versions", raiser(ModuleNotFoundError("oh", name=module)))
        code, _, err = run("info")
        assert code == 1
        assert "Traceback" in err

    @pytest.mark.parametrize("extra", ["weights", "style", "movie", "demo", "study"])
    def test_every_requirement_of_the_project_file_is_told(self, extra):
        for module in modules_of(extra):
            assert cli._missing_extra(ModuleNotFoundError(name=module), "weights").endswith(f"'fastconv[{extra}]'")

    def test_what_no_single_extra_of_a_command_brings(self):
        assert "'fastconv[all]'" in cli._missing_extra(ModuleNotFoundError(name="imageio"), "study")

    def test_a_checkout_that_was_never_installed(self, run, without, monkeypatch, published_mat):
        without("scipy")
        monkeypatch.setattr(importlib.metadata, "requires", raiser(importlib.metadata.PackageNotFoundError))
        code, _, err = run("weights", "convert", str(published_mat))
        assert code == 1
        assert "scipy" in err

    @pytest.mark.parametrize("argv", [("info",), ("weights", "list")])
    def test_what_does_without(self, run, without, argv):
        for extra in ("weights", "style", "movie", "demo", "study"):
            for name in modules_of(extra):
                without(name)
        code, out, _ = run(*argv)
        assert code == 0
        assert "vgg19" in out or "none found" in out


class TestInfo:
    def test_facts(self, run, published_mat):
        from fastconv import jit

        code, out, err = run("info")
        assert (code, err) == (0, "")
        facts = dict(re.split(r" {2,}", line, maxsplit=1) for line in out.splitlines())
        assert facts["fastconv"] == fastconv.__version__
        assert facts["python"].startswith(sys.version.split()[0])
        assert {"numpy", "numba", "llvmlite", "tbb"} <= facts.keys()
        assert jit.describe().items() <= facts.items()
        assert facts["weights"] == f"vgg19: weights/{MAT} (./weights)"

    @pytest.mark.skipif(os.name == "nt", reason="Python asks no program of PATH there")
    def test_no_program_of_the_current_folder_runs(self, tmp_path):
        (tmp_path / "uname").write_text("#!/bin/sh\ntouch ran\n")
        (tmp_path / "uname").chmod(0o755)
        command = [sys.executable, "-c", "from fastconv import cli; cli.main(['info'])"]
        subprocess.run(command, env={**os.environ, "PATH": f":{os.environ['PATH']}"}, capture_output=True, check=True)
        assert not (tmp_path / "ran").exists()

    def test_no_weights(self, run):
        assert "none found" in run("info")[1]


class TestWeights:
    def test_list(self, run, published_mat):
        code, out, err = run("weights", "list")
        assert (code, err) == (0, "")
        for source in SOURCES.values():
            assert source.name in out
            assert source.origin in out
        assert out.splitlines()[-1] == f"found vgg19: weights/{MAT} (./weights)"

    def test_fetch_prints_what_is_there(self, run, published_mat):
        assert run("weights", "fetch", "vgg19") == (0, f"weights/{MAT}\n", "")

    def test_fetch_offline(self, run):
        code, out, err = run("weights", "fetch")
        assert (code, out) == (3, "")
        assert "By hand: fetch" in err

    def test_fetch_downloads(self, run, published_mat, monkeypatch):
        content = published_mat.read_bytes()
        published_mat.unlink()
        monkeypatch.delenv("FASTCONV_OFFLINE")

        def download(source, folder, progress):
            path = folder / source.filename
            path.write_bytes(content)
            return path

        monkeypatch.setattr(fetching, "_file", download)
        code, out, err = run("weights", "fetch", "vgg19")
        assert code == 0
        (kept,) = cache_dir().iterdir()
        assert out == f"{kept}\n"
        assert err.startswith("fastconv: fetching vgg19, ")

    def test_fetch_unknown(self, run):
        code, out, err = run("weights", "fetch", "vgg20")
        assert (code, out) == (2, "")
        assert "'vgg20'; expected vgg19, vgg19-keras, vgg19-q8" in err

    def test_convert(self, run, published_mat):
        code, out, err = run("weights", "convert", str(published_mat))
        (kept,) = cache_dir().iterdir()
        assert (code, out, err) == (0, f"{kept}\n", "")
        published_mat.unlink()
        assert run("weights", "fetch", "vgg19") == (0, f"{kept}\n", "")

    def test_convert_to_a_file(self, run, published_mat, tmp_path):
        target = tmp_path / "mine.npz"
        assert run("weights", "convert", str(published_mat), "-o", str(target)) == (0, f"{target}\n", "")
        content = target.read_bytes()
        code, out, err = run("weights", "convert", str(published_mat), "-o", str(target))
        assert (code, out) == (5, "")
        assert "mine.npz exists; --overwrite replaces it" in err
        target.write_bytes(b"old")
        assert run("weights", "convert", str(published_mat), "-o", str(target), "--overwrite")[0] == 0
        assert target.read_bytes() == content

    def test_convert_to_nowhere(self, run, published_mat, tmp_path):
        code, out, err = run("weights", "convert", str(published_mat), "-o", str(tmp_path / "no" / "mine.npz"))
        assert (code, out) == (5, "")
        assert "cannot be written" in err

    def test_convert_what_is_none(self, run, tmp_path):
        path = tmp_path / MAT
        path.write_bytes(b"<html>")
        code, out, err = run("weights", "convert", str(path))
        assert (code, out) == (3, "")
        assert "an HTML page" in err

    @pytest.mark.parametrize("argv", [(), ("vgg19",), (f"weights/{MAT}",)])
    def test_check(self, run, published_mat, argv):
        code, out, err = run("weights", "check", *argv)
        assert (code, err) == (0, "")
        digest = hashlib.sha256(published_mat.read_bytes()).hexdigest()
        assert out.splitlines()[0] == f"ok     weights/{MAT}: vgg19, exact kernels, SHA256 {digest}"

    def test_check_goes_on_after_a_wrong_file(self, run, published_mat):
        (published_mat.parent / "vgg19.npz").write_bytes(b"PK\x03\x04")
        code, out, err = run("weights", "check")
        assert (code, err) == (3, "")
        first, second = out.splitlines()
        assert re.match(r"wrong {2}weights/vgg19\.npz: truncated or damaged", first)
        assert second.startswith(f"ok     weights/{MAT}")

    @pytest.mark.parametrize("argv", [(), ("vgg19-keras",)])
    def test_check_nothing(self, run, argv):
        code, out, err = run("weights", "check", *argv)
        assert (code, out) == (3, "")
        assert "no file found for" in err

    def test_check_no_such_path(self, run):
        code, out, _ = run("weights", "check", "nowhere.mat")
        assert code == 3
        assert "nowhere.mat: cannot be read" in out


def test_a_reader_that_has_had_enough():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "import sys; from fastconv import cli; sys.exit(cli.main(['info']))"]
    with os.fdopen(writing, "wb") as closed:
        finished = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert finished.stderr == ""
    assert finished.returncode == cli.Exit.OUTPUT


def test_standard_output_may_be_closed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["info"]) == 0
    assert capsys.readouterr().err == ""
