"""The page about a run, opened in a real browser, too."""

import json
import re
import shutil
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fastconv.style.files import OutputError
from fastconv.style.report.page import pick

from .helpers import BLUE, RED, Page, frame, records


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


def test_pick_keeps_the_ends():
    frames = [frame(i) for i in range(1, 31)]
    assert [chosen.number for chosen in pick(frames, 4)] == [1, 11, 20, 30]
    assert pick(frames[:3], 12) == frames[:3]
