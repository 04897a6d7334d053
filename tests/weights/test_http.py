"""Downloads over HTTP, from a server on this machine."""

import dataclasses
import hashlib
import http.server
import threading

import numpy as np
import pytest

from fastconv.weights import SOURCES, MissingWeightsError, WrongFileError, cache_dir, downloading, load
from fastconv.weights import http as downloading_over_http

from .. import weight_files
from .helpers import cached

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


def test_once_and_then_from_the_cache(server, published, small_network, capsys):
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


def test_no_progress_unless_wanted(server, published, capsys):
    server.answers = [whole(published)]
    load("vgg19-keras", progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_broken_connection_is_tried_again(server, published):
    server.answers = [broken(published), broken(published), whole(published)]
    assert load("vgg19-keras").source == "vgg19-keras"
    assert server.asked == 3


def test_a_connection_that_stays_broken(server, published):
    server.answers = [broken(published)]
    with pytest.raises(MissingWeightsError, match="By hand: fetch http://127"):
        load("vgg19-keras")
    assert server.asked == 3
    assert cached() == []


def test_an_error_page(server, published):
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
def test_another_file(server, published, damage, match):
    server.answers = [(200, damage(published), None)]
    with pytest.raises(WrongFileError, match=match) as info:
        load("vgg19-keras")
    assert "By hand: fetch" in str(info.value)
    assert cached() == []
    server.answers = [whole(published)]
    assert load("vgg19-keras").source == "vgg19-keras"


def test_nobody_there(server, published, monkeypatch):
    monkeypatch.setattr(downloading_over_http, "_ATTEMPTS", 1)
    source = dataclasses.replace(SOURCES["vgg19-keras"], url="http://127.0.0.1:9/nothing")
    monkeypatch.setitem(SOURCES, "vgg19-keras", source)
    with pytest.raises(MissingWeightsError, match=r"from http://127\.0\.0\.1:9/nothing failed"):
        load("vgg19-keras")


def test_interrupted(server, published, monkeypatch):
    def interrupt(path):
        assert path.read_bytes() == published
        raise KeyboardInterrupt

    server.answers = [whole(published)]
    monkeypatch.setattr(downloading, "identify", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load("vgg19-keras")
    assert cached() == []


def test_a_cache_that_cannot_be_written(published, monkeypatch, tmp_path):
    (tmp_path / "occupied").touch()
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "occupied"))
    with pytest.raises(MissingWeightsError, match="FASTCONV_CACHE_DIR chooses another folder"):
        load("vgg19-keras")
