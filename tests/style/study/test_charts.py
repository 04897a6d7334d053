"""The pictures of the study show what came out."""

import io

import numpy as np
from PIL import Image

from fastconv.style.study import charts
from fastconv.style.study.settings import Setting

from .helpers import make_run


def test_the_sheet_shows_every_pixel():
    shape = (160, 320, 3)
    first = [make_run(i, Setting("relative", 5_000_000, steps=i + 1000), shape) for i in range(3)]
    second = [make_run(9, Setting(beta=1), shape)]
    png = charts.contact_sheet({"one": first, "two": second})
    with Image.open(io.BytesIO(png)) as image:
        sheet = np.asarray(image.convert("RGB"))
    row_height = charts.TITLE_HEIGHT + 160 + charts.CAPTION_HEIGHT
    for i, row in enumerate((first, second)):
        for j, result in enumerate(row):
            top, left = i * row_height + charts.TITLE_HEIGHT, charts.GAP + j * (320 + charts.GAP)
            np.testing.assert_array_equal(sheet[top : top + 160, left : left + 320], result.image)
            caption = sheet[top + 160 : top + 160 + charts.CAPTION_HEIGHT, left : left + 320]
            assert caption.min() < 100  # there is ink
            beside = sheet[top + 160 : top + 160 + charts.CAPTION_HEIGHT, left + 320 : left + 320 + charts.GAP]
            assert beside.min() == 255  # none of it runs into the next


def test_the_curves_are_a_picture():
    png = charts.curves(
        {"one": [make_run(0, Setting()), make_run(1, Setting(beta=1))], "two": [make_run(2, Setting())]}
    )
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert image.size == (2 * 320, 3 * 260)
