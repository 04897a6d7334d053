"""Frames, results and pages that tests of the report make and read."""

from html.parser import HTMLParser

import numpy as np
from PIL import Image

from fastconv.style.report.film import FRAME_SIDE, Frame, to_jpeg
from fastconv.style.transfer import LossRecord, Result

RED, BLUE = (200, 30, 20), (20, 40, 210)  # the photograph and the result, which no one confuses

RUN = ["style", "photo.png", "painting.png", "-o", "out.png", "--steps", "3", "--content-layers", "relu2_2"]
RUN += ["--style-layers", "relu1_1,relu2_1"]


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
