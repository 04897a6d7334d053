"""Films as files."""

import importlib.util
import os
import subprocess
import weakref

import numpy as np
import pytest
from PIL import Image

from fastconv import cli
from fastconv.style.files import OutputError
from fastconv.style.report.film import Frame, to_jpeg
from fastconv.style.report.movie import check_movie, write_movie

from ..helpers import traced
from .helpers import RUN, frame


def test_a_gif_has_every_frame(tmp_path):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    write_movie(tmp_path / "run.gif", [frame(i, colour, (61 + i, 41)) for i, colour in enumerate(colours)])
    with Image.open(tmp_path / "run.gif") as film:
        assert film.size == (63, 41)
        assert film.info["loop"] == 0
        seen, milliseconds = [], 0
        for index in range(film.n_frames):
            film.seek(index)
            seen.append(np.asarray(film.convert("RGB"), float)[20, 30])
            milliseconds += film.info["duration"]
    np.testing.assert_allclose(seen[:3], colours, atol=12)
    assert milliseconds == pytest.approx(2200, abs=60)  # three frames at 15 a second, and two seconds


def test_a_large_gif_is_made_smaller(tmp_path):
    write_movie(tmp_path / "run.gif", [frame(1, size=(700, 350))])
    with Image.open(tmp_path / "run.gif") as film:
        assert film.size == (400, 200)


def test_an_mp4_has_every_frame(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    colours = [(230, 20, 20), (20, 230, 20), (20, 20, 230)]
    frames = [frame(i, colour, (121, 81)) for i, colour in enumerate(colours)]
    write_movie(tmp_path / "run.mp4", frames)
    count, seconds = ffmpeg.count_frames_and_secs(str(tmp_path / "run.mp4"))
    assert count == 3 + 30
    assert seconds == pytest.approx(count / 15, abs=0.1)
    command = [
        ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        tmp_path / "run.mp4",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    film = np.frombuffer(raw, np.uint8).reshape(33, 80, 120, 3).astype(float)
    for index, colour in enumerate(colours):
        assert np.abs(film[index].mean(axis=(0, 1)) - colour).max() < 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.mp4"]


def test_films_are_probed(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"expected \.gif or \.mp4"):
        check_movie(tmp_path / "run.avi")
    (tmp_path / "run.gif").write_bytes(b"")
    with pytest.raises(OutputError, match="exists already"):
        check_movie(tmp_path / "run.gif")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastconv\[movie\]'"):
        check_movie(tmp_path / "run.mp4")


def test_a_film_without_its_library_is_told_before_any_work(folder, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "imageio_ffmpeg" else find(name))
    assert cli.main([*RUN, "--movie", "run.mp4"]) == 2
    assert "pip install 'fastconv[movie]'" in capsys.readouterr().err
    assert not (folder / "out.png").exists()


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_a_film_is_written_with_few_of_its_pictures_in_memory(tmp_path, monkeypatch, name):
    if name.endswith("mp4"):
        pytest.importorskip("imageio_ffmpeg")
    side, count = 300, 30
    frames = [Frame(i, side, i, to_jpeg(Image.new("RGB", (side, side), (8 * i, 0, 0)), side, 90)) for i in range(count)]
    seen = []
    most = 0
    decode = Frame.image

    def image(frame):
        nonlocal most
        picture = decode(frame)
        seen.append(weakref.ref(picture))
        most = max(most, sum(reference() is not None for reference in seen))
        return picture

    monkeypatch.setattr(Frame, "image", image)
    with traced() as peak:
        write_movie(tmp_path / name, frames)
    assert most <= 3
    assert peak[0] < count / 3 * 3 * side**2


@pytest.mark.parametrize("has_its_own", [True, False])
def test_no_ffmpeg_of_the_current_folder_writes_the_film(tmp_path, monkeypatch, has_its_own):
    package = pytest.importorskip("imageio_ffmpeg")
    if not has_its_own:  # as where it was built from source
        monkeypatch.setattr(package, "__file__", str(tmp_path / "__init__.py"))
        monkeypatch.setattr(package._utils, "_get_bin_dir", lambda: str(tmp_path))
        package._utils._get_ffmpeg_exe.cache_clear()
    for name in ("ffmpeg", "ffmpeg.exe"):
        (tmp_path / name).write_text("#!/bin/sh\necho >ran\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join(["", "."]))
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    if has_its_own:
        write_movie(tmp_path / "film.mp4", [frame(1)])
    else:
        with pytest.raises(OutputError, match="no ffmpeg is installed"):
            write_movie(tmp_path / "film.mp4", [frame(1)])
    assert not (tmp_path / "ran").exists()
    assert "IMAGEIO_FFMPEG_EXE" not in os.environ
