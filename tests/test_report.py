"""The report of a run, opened in a real browser, and the film of its frames."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fastconv import cli
from fastconv.style.files import OutputError
from fastconv.style.report import movie
from fastconv.style.report.chart import log_ticks, loss_chart, step_ticks
from fastconv.style.report.film import FRAME_SIDE, MOST_FRAMES, Film, Frame, to_jpeg
from fastconv.style.report.movie import GIF_SIDE, check_movie, write_movie
from fastconv.style.report.page import pick, write_report
from fastconv.style.transfer import LossRecord, Result, Step

RED, BLUE = (200, 30, 20), (20, 40, 210)  # the photograph and the result, which no one confuses


def frame(number, colour=(120, 130, 140), size=(60, 40), scale=64):
    return Frame(number, scale, number, to_jpeg(Image.new("RGB", size, colour), FRAME_SIDE, 90))


def records(count=30, scales=(64, 96)):
    return [LossRecord(scale, i, 100.0 / i, 20.0 / i, 80.0 / i, 0.25) for scale in scales for i in range(1, count + 1)]


def result(losses=None, name="photo.png", size=(320, 480)):
    image = np.full((*size, 3), BLUE, np.uint8)
    settings = {
        "steps": 30,
        "clip": True,
        "masks": None,
        "betas": (0.9, 0.99),
        "content": {"name": name, "size": size},
        "styles": [{"name": "<b>one</b>.png", "size": (5, 6)}, {"name": "two.png", "size": (7, 8)}],
    }
    return Result(image, losses or records(), settings, image.astype(np.float32), None)


@pytest.fixture
def report(tmp_path):
    """Write a report whose photograph is red and whose result is blue, and return its path."""

    def report(frames=None, **parts):
        made = result(**parts)
        path = tmp_path / "run.html"
        write_report(path, np.full(made.image.shape, RED, np.float32), made, frames or [frame(i) for i in range(1, 61)])
        return path

    return report


class Page(HTMLParser):
    """Every tag of a page with its attributes, and the text outside of style and script."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self._skipped = [], "", 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._skipped += tag in ("style", "script")

    def handle_endtag(self, tag):
        self._skipped -= tag in ("style", "script")

    def handle_data(self, data):
        self.text += "" if self._skipped else data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


# --- the page -----------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_else(report):
    page = Page(report())
    sources = [
        attributes[key] for _, attributes in page.tags for key in ("src", "href", "data", "action") if key in attributes
    ]
    assert len(sources) == 2 + 12
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert page.all("link") == []
    assert "url(" not in report().read_text()
    policy = next(meta for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_the_page_tells_what_was_done(report):
    page = Page(report())
    assert "photo.png in the manner of <b>one</b>.png, two.png" in page.text
    assert "480x320 px, 60 steps in 15.0 s" in page.text
    text = re.sub(r"\s+", "", page.text)
    assert "64px300.250s7.5s" in text
    assert "inall6015.0s" in text
    for line in ("clipyes", "masksnone", "betas0.9, 0.99", "contentname photo.png, size 320, 480"):
        assert line in page.text


def test_names_cannot_break_the_page(report):
    name = "</title><script>alert(1)</script>&$after.png"
    page = Page(report(name=name))
    assert page.text.count(name) == 3  # title, heading, settings
    assert len(page.all("script")) == 1
    assert page.all("b") == []


def test_a_run_of_one_step(report):
    assert len(Page(report(frames=[frame(1)], losses=records(1, [64]))).all("img")) == 3


def test_the_pictures_are_the_photograph_and_the_result(report):
    images = Page(report()).all("img")
    for attributes, colour in zip(images[:2], (BLUE, RED), strict=True):
        jpeg = BytesIO(_decode(attributes["src"]))
        pixels = np.asarray(Image.open(jpeg), float)
        assert pixels.shape == (320, 480, 3)
        assert np.abs(pixels - colour).max() < 6


def _decode(url):
    import base64

    return base64.b64decode(url.partition(",")[2])


def test_a_page_that_cannot_be_written(report, tmp_path):
    (tmp_path / "run.html").mkdir()
    with pytest.raises(OutputError, match=r"run\.html cannot be written"):
        report()


# --- the chart ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.3, 40, [0.2, 0.5, 1, 2, 5, 10, 20, 50]),
        (1, 1000, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]),
        (1, 1, [1, 2]),
        (3, 4, [2, 5]),
        (2e-3, 5e4, [1e-3, 1e-2, 1e-1, 1, 10, 100, 1e3, 1e4, 1e5]),
        (9.999999999999999e-4, 1e-3, [5e-4, 1e-3]),
    ],
)
def test_ticks_of_losses(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks, rel=1e-12)


@pytest.mark.parametrize("exponent", range(-12, 13))
def test_ticks_hold_every_range(exponent):
    rng = np.random.default_rng(exponent + 100)
    for low, ratio in zip(rng.uniform(1, 10, 20) * 10.0**exponent, 10 ** rng.uniform(0, 8, 20), strict=True):
        ticks = log_ticks(low, low * ratio)
        assert ticks[0] <= low
        assert ticks[-1] >= low * ratio
        assert 2 <= len(ticks) <= 13
        assert ticks == sorted(ticks)


@pytest.mark.parametrize(
    ("steps", "ticks"),
    [
        (1, [1]),
        (7, [1, 2, 3, 4, 5, 6, 7]),
        (30, [1, 5, 10, 15, 20, 25, 30]),
        (120, [1, 20, 40, 60, 80, 100, 120]),
        (3000, [1, 500, 1000, 1500, 2000, 2500, 3000]),
    ],
)
def test_ticks_of_steps(steps, ticks):
    assert step_ticks(steps) == ticks


def test_curves_go_where_the_losses_are():
    chart = loss_chart(records(30))
    curves = re.findall(r'<polyline class="(\w+)" points="([^"]+)"/>', chart)
    assert [name for name, _ in curves] == ["total", "content", "style"]
    points = {name: np.array([point.split(",") for point in text.split()], float) for name, text in curves}
    assert {len(array) for array in points.values()} == {60}
    # 100 to 100/30 and back: equal losses lie at equal heights, larger ones higher up; steps at even distances.
    np.testing.assert_array_equal(points["total"][:30, 1], points["total"][30:, 1])
    assert (np.diff(points["total"][:30, 1]) > 0).all()
    np.testing.assert_allclose(np.diff(points["total"][:, 0]), np.diff(points["total"][:, 0]).mean(), atol=0.11)
    # On a logarithmic axis the content's curve is the total's, a constant lower.
    drop = points["content"][:, 1] - points["total"][:, 1]
    np.testing.assert_allclose(drop, drop.mean(), atol=0.11)
    assert chart.count('<line class="scale"') == 1
    assert all(f">{scale} px<" in chart for scale in (64, 96))


def test_a_loss_that_is_zero_has_no_curve():
    losses = [LossRecord(64, i, 9.0 / i, 0.0 if i == 1 else 3.0 / i, 0.0, 0.1) for i in range(1, 9)]
    chart = loss_chart(losses)
    assert re.findall(r'<polyline class="(\w+)"', chart) == ["total", "content"]
    assert chart.count("nan") == chart.count("inf") == 0


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium or its driver is missing: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1000,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as chrome:
        yield chrome


def _screenshot(browser):
    return np.asarray(Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB"), float)


def _boundary(browser):
    """Return where, from 0 to 1, the photograph ends and the result begins on the screen."""
    box = browser.find_element("css selector", "#compare").rect
    row = _screenshot(browser)[int(box["y"]) + 30, int(box["x"]) : int(box["x"] + box["width"])]
    is_photograph = np.abs(row - RED).max(axis=1) < 12
    is_result = np.abs(row - BLUE).max(axis=1) < 12
    assert (is_photograph | is_result).mean() > 0.96  # the rest is the handle
    count = is_photograph.sum()
    assert is_photograph[2 : max(2, count - 2)].all()  # the first pixel may be rounded with the corner
    return (count + len(row) - is_result.sum()) / 2 / len(row)


@pytest.mark.browser
def test_the_slider_moves_in_a_browser(browser, report):
    from selenium.webdriver import ActionChains, Keys

    browser.get(report().as_uri())
    assert _boundary(browser) == pytest.approx(0.5, abs=0.01)
    slider = browser.find_element("css selector", "#compare input")
    width = slider.size["width"]
    assert width > 400
    for place in (0.8, 0.15):
        start = 0.5 if place == 0.8 else 0.8
        drag = ActionChains(browser).move_to_element_with_offset(slider, int((start - 0.5) * width), 0).click_and_hold()
        drag.move_to_element_with_offset(slider, int((place - 0.5) * width), 0).release().perform()
        assert _boundary(browser) == pytest.approx(place, abs=0.01)
    slider.send_keys(Keys.END)
    assert _boundary(browser) == pytest.approx(1, abs=0.01)
    slider.send_keys(Keys.HOME)
    assert _boundary(browser) == pytest.approx(0, abs=0.01)


@pytest.mark.browser
def test_the_browser_asks_for_nothing_and_complains_of_nothing(browser, report):
    browser.get("about:blank")
    browser.get_log("performance"), browser.get_log("browser")
    path = report()
    browser.get(path.as_uri())
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    assert browser.get_log("browser") == []
    images = browser.find_elements("css selector", "img")
    assert len(images) == 14
    assert all(browser.execute_script("return arguments[0].naturalWidth", image) > 0 for image in images)


@pytest.mark.browser
def test_the_page_fits_a_telephone(browser, report):
    browser.set_window_size(500, 900)
    try:
        browser.get(report().as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        browser.set_window_size(1000, 900)


# --- frames and films ---------------------------------------------------------------------------------------


def take_frames(steps, number_of_frames=()):
    film = Film(steps, number_of_frames)
    for number in range(len(number_of_frames) + 1, steps + 1):
        film.update(number, Step(64, number, steps, 1.0, 1.0, 1.0, 0.1, lambda: np.zeros((20, 30, 3), np.uint8)))
    return film.frames


@pytest.mark.parametrize(("steps", "numbers"), [(1, [1]), (5, [1, 2, 3, 4, 5]), (250, [1, *range(3, 250, 3), 250])])
def test_frames_are_taken_at_even_distances(steps, numbers):
    assert [frame.number for frame in take_frames(steps)] == numbers
    assert len(numbers) <= MOST_FRAMES + 2


def test_frames_are_kept_when_a_run_goes_on():
    before = [frame(1), frame(2)]
    frames = take_frames(4, before)
    assert frames[:2] == before
    assert [frame.number for frame in frames] == [1, 2, 3, 4]


def test_large_frames_are_made_smaller():
    film = Film(1)
    film.update(1, Step(2000, 1, 1, 1.0, 1.0, 1.0, 0.1, lambda: np.zeros((1000, 2000, 3), np.uint8)))
    assert film.frames[0].image().size == (FRAME_SIDE, FRAME_SIDE // 2)


def test_pick_keeps_the_ends():
    frames = [frame(i) for i in range(1, 31)]
    assert [chosen.number for chosen in pick(frames, 4)] == [1, 11, 20, 30]
    assert pick(frames[:3], 12) == frames[:3]


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
        assert film.size == (GIF_SIDE, GIF_SIDE // 2)


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


@pytest.mark.parametrize("name", ["run.gif", "run.mp4"])
def test_an_encoder_that_fails_costs_the_film_alone(folder, capsys, monkeypatch, name):
    def failing(pictures):
        raise RuntimeError("ffmpeg has ended\n\nFFMPEG COMMAND:\nffmpeg -y")

    monkeypatch.setattr(movie, f"_encode_{name[-3:]}", failing)
    assert cli.main([*RUN, "--movie", name, "--report", "run.html"]) == 5
    printed = capsys.readouterr().err
    assert f"{name} cannot be written: its frames could not be encoded: ffmpeg has ended" in printed
    assert "FFMPEG COMMAND" not in printed
    assert "Traceback" not in printed
    assert {path.name for path in folder.iterdir()} == {"photo.png", "painting.png", "out.png", "run.html"}


def test_films_are_probed(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"expected \.gif or \.mp4"):
        check_movie(tmp_path / "run.avi")
    (tmp_path / "run.gif").write_bytes(b"")
    with pytest.raises(OutputError, match="exists already"):
        check_movie(tmp_path / "run.gif")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastconv\[movie\]'"):
        check_movie(tmp_path / "run.mp4")


# --- by command ---------------------------------------------------------------------------------------------

RUN = ["style", "photo.png", "painting.png", "-o", "out.png", "--steps", "3", "--content-layers", "relu2_2"]
RUN += ["--style-layers", "relu1_1,relu2_1"]


def test_the_command_makes_a_report_and_a_film(folder, capsys):
    assert cli.main([*RUN, "--report", "run.html", "--movie", "run.gif"]) == 0
    assert capsys.readouterr().out == "out.png\n"
    page = Page(folder / "run.html")
    assert "photo.png in the manner of painting.png" in page.text
    assert len(page.all("img")) == 2 + 3
    with Image.open(folder / "run.gif") as film:
        assert film.size == (48, 32)


def test_frames_and_losses_of_a_resumed_run_are_whole(folder):
    options = ["--report", "run.html", "--movie", "run.gif", "--checkpoint", "run.ckpt", "--save-every", "1"]
    code = (
        "import os, signal, sys; from fastconv.cli import main\n"
        "def killed(step):\n"
        "    if step.step == 3: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(main(sys.argv[1:], callback=killed))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, *RUN, "--steps", "5", *options], capture_output=True, text=True
    )
    assert killed.returncode == 143, killed.stderr
    assert len(Page(folder / "run.html").all("img")) == 2 + 3
    assert cli.main(["style", "--resume", "run.ckpt"]) == 0
    page = Page(folder / "run.html")
    assert len(page.all("img")) == 2 + 5
    assert "5 steps in" in page.text
    assert re.findall(r"step (\d) \(\d in all\)", page.text) == ["1", "2", "3", "4", "5"]


def test_a_film_without_its_library_is_told_before_any_work(folder, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "imageio_ffmpeg" else find(name))
    assert cli.main([*RUN, "--movie", "run.mp4"]) == 2
    assert "pip install 'fastconv[movie]'" in capsys.readouterr().err
    assert not (folder / "out.png").exists()
