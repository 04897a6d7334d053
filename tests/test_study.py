"""The study: what it measures is what the transfer minimises, what it draws is what came out."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from fastconv import cli
from fastconv.nn.vgg import VGG19
from fastconv.style import ImageError, OptionError, Options, OutputError
from fastconv.style.algorithm.canvas import to_canvas, to_planes
from fastconv.style.algorithm.objective import Objective
from fastconv.style.algorithm.presets import PRESETS
from fastconv.style.images import load
from fastconv.style.study import charts
from fastconv.style.study import study as studies
from fastconv.style.study.files import StudyFiles
from fastconv.style.study.runs import Gauge, Measurement, Run, Setting, carry_out, ratio_of_gradients
from fastconv.style.study.study import study
from fastconv.weights import load as load_weights

# The first layers and few pixels, so that a run takes a moment.
SMALL = {"size": "48x32", "content_layers": ("relu2_2",), "style_layers": ("relu1_1", "relu2_1")}
PICTURES = ("photo.png", "painting.png")


@pytest.fixture
def weights(folder, random_weights):
    return load_weights(random_weights)


def run(weights, *settings, **options):
    return {result.setting: result for result in carry_out(*PICTURES, weights, settings, **SMALL, **options)}


# --- measuring ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["gatys", "relative"])
def test_a_gauge_takes_the_objective_apart(weights, loss):
    options = Options(**SMALL, loss=loss, beta=3, alpha=2, total_variation=0)
    network = VGG19(weights.layers, padding=options.padding)
    content, style = (load(name).resized((32, 48)) for name in PICTURES)
    start = to_canvas(content.rgb, "float32")
    canvas = start + np.random.default_rng(0).normal(0, 9, start.shape).astype("float32")
    measured = Gauge(network, content, style, options).measure(7, canvas)

    objective = Objective(network, start, [to_planes(style.rgb, "float32")], options)
    losses, gradient = objective(canvas)
    assert measured.step == 7
    assert measured.content == pytest.approx(losses.content, rel=1e-4)
    assert measured.style == pytest.approx(losses.style, rel=1e-4)
    assert measured.moved == pytest.approx(9, rel=0.05)
    # The whole gradient is the sum of both, so its length lies between their difference and their sum.
    length = np.sqrt(np.mean(gradient**2))
    content_length, style_length = measured.content_gradient, measured.style_gradient
    assert abs(content_length - style_length) < length < content_length + style_length


def test_a_weight_is_a_factor_of_its_own_part_alone(weights):
    results = run(weights, Setting(beta=1, steps=1), Setting(beta=1000, steps=1))
    light, heavy = (results[Setting(beta=beta, steps=1)].trace[-1] for beta in (1, 1000))
    # After a first step of Adam, which knows but the gradient's signs, both pictures are the same.
    assert heavy.moved == pytest.approx(light.moved, rel=1e-3)
    assert heavy.content == pytest.approx(light.content, rel=1e-2)
    assert heavy.style == pytest.approx(1000 * light.style, rel=1e-2)
    assert heavy.style_gradient == pytest.approx(1000 * light.style_gradient, rel=1e-2)


def test_at_the_start_the_content_has_no_gradient():
    assert ratio_of_gradients(Measurement(1, 0.0, 1.0, 0.0, 2.0, 0.0)) == np.inf
    assert ratio_of_gradients(Measurement(1, 0.0, 1.0, 4.0, 2.0, 0.0)) == 0.5


# --- running ------------------------------------------------------------------------------------------------


def test_the_settings_are_those_of_the_question():
    assert [setting.steps for setting in studies.ROWS["steps"]] == [20, 99, 1000]
    betas = [setting.beta for title in ("large beta", "small beta") for setting in studies.ROWS[title]]
    assert betas == [500, 50_000, 5_000_000, 1e-2, 1e-3, 1e-4, 3e-5]
    assert [setting.learning_rate for setting in studies.ROWS["learning rate"]] == [1, 5, 10, 100]
    assert {setting.loss for setting in studies.ROWS["relative loss"]} == {"relative"}
    assert Setting() == ("gatys", 500, 1, 99)


def test_a_longer_run_passes_through_the_shorter_one(weights):
    longer = run(weights, Setting(steps=7), Setting(steps=3), Setting(steps=3))
    alone = run(weights, Setting(steps=3))[Setting(steps=3)]
    assert list(longer) == [Setting(steps=3), Setting(steps=7)]
    np.testing.assert_array_equal(longer[Setting(steps=3)].image, alone.image)
    assert longer[Setting(steps=3)].trace == alone.trace
    assert [measurement.step for measurement in longer[Setting(steps=7)].trace] == [1, 2, 3, 5, 7]
    assert alone.image.shape == (32, 48, 3)


def test_settings_are_passed_on(weights):
    settings = Setting("relative", 2, 5, 2), Setting("relative", 2, 1, 2), Setting("gatys", 2, 1, 2)
    fast, slow, gatys = run(weights, *settings).values()
    assert fast.trace[0].moved == pytest.approx(5, rel=0.01)  # the first step of Adam is its rate
    assert slow.trace[0].moved == pytest.approx(1, rel=0.01)
    assert gatys.trace[0].content != slow.trace[0].content


def test_adam_divides_a_mere_factor_out(weights):
    """The answer to the question of the study, in small: beta counts only where both gradients are alike."""
    betas = 1e6, 1e8, 1e-9
    large, larger, small = run(weights, *(Setting(beta=beta, steps=10) for beta in betas)).values()
    assert ratio_of_gradients(large.trace[-1]) > 1e3
    assert ratio_of_gradients(small.trace[-1]) < 1

    def apart(a, b):
        return np.abs(a.image.astype(float) - b.image).mean()

    assert apart(large, larger) < 0.1
    assert apart(large, small) > 1


def test_a_size_with_one_side_is_refused(weights):
    with pytest.raises(OptionError, match=r"size must be WIDTHxHEIGHT.*got 48"):
        next(carry_out(*PICTURES, weights, [Setting(steps=1)], **{**SMALL, "size": 48}))


# --- the files ----------------------------------------------------------------------------------------------


def make_run(seed, setting, shape=(20, 30, 3)):
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Run(setting, image, [Measurement(1, 1.0, 2.0, 0.0, 1.0, 0.5), Measurement(2, 3.0, 4.0, 1.0, 1.0, 1.0)])


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


def test_a_study_writes_what_it_did(weights, folder):
    rows = {"a": [Setting(steps=1), Setting(steps=2)], "b": [Setting(steps=2), Setting(beta=1, steps=1)]}
    lines = []
    outputs = study(*PICTURES, folder / "out", weights=weights, rows=rows, show=lines.append, **SMALL)
    assert outputs == StudyFiles(folder / "out")
    assert len(lines) == 1 + 3
    assert {len(line) for line in lines} == {len(studies.COLUMNS)}
    for path in (outputs.sheet, outputs.curves):
        with Image.open(path) as image:
            image.verify()
    numbers = json.loads(outputs.numbers.read_text())
    assert numbers["weights"]["sha256"] == "cd" * 32
    assert [[run["steps"] for run in row] for row in numbers["rows"].values()] == [[1, 2], [2, 1]]
    assert numbers["rows"]["a"][1] == numbers["rows"]["b"][0]
    assert numbers["rows"]["a"][1]["trace"][-1]["step"] == 2
    assert {line.split()[-1] for line in lines[1:]} == {"-"}  # the experiment itself is not among them
    with pytest.raises(OutputError, match=r"sheet\.png exists already"):
        study(*PICTURES, folder / "out", weights=weights, rows=rows, **SMALL)


def test_a_missing_picture_is_told_before_anything_is_done(folder, weights):
    lines = []
    with pytest.raises(ImageError, match=r"nowhere\.png does not exist"):
        study(PICTURES[0], folder / "nowhere.png", folder / "out", weights=weights, rows={}, show=lines.append)
    assert not lines
    assert not (folder / "out").exists()


def test_a_line_tells_how_far_a_picture_is_from_the_experiment():
    same, other = make_run(0, Setting()), make_run(1, Setting(beta=1))
    difference = same.image.astype(float) - other.image
    assert studies.as_line(same, same).split()[-1] == "0.0"
    assert studies.as_line(other, same).split()[-1] == f"{np.sqrt(np.mean(difference**2)):.1f}"


def test_what_is_done_is_kept_when_a_study_is_interrupted(weights, folder):
    def interrupt(line):
        if line != studies.COLUMNS:
            raise KeyboardInterrupt

    rows = {"a": [Setting(steps=1)], "b": [Setting(beta=1, steps=1)]}
    with pytest.raises(KeyboardInterrupt):
        study(*PICTURES, folder / "out", weights=weights, rows=rows, show=interrupt, **SMALL)
    assert list(json.loads(StudyFiles(folder / "out").numbers.read_text())["rows"]) == ["a"]


def test_a_study_that_ends_before_its_first_run_writes_nothing(weights, folder):
    with pytest.raises(OptionError):
        study(*PICTURES, folder / "out", weights=weights, rows={"a": [Setting(steps=0)]}, **SMALL)
    assert list((folder / "out").iterdir()) == []


def test_a_folder_that_cannot_be_made(weights, folder):
    with pytest.raises(OutputError, match="cannot be made"):
        study(*PICTURES, folder / "no" / "such", weights=weights)


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    """Leave a moment's work of the study."""
    for name, value in SMALL.items():
        monkeypatch.setitem(PRESETS["gatys"], name, value)
    for title in list(studies.ROWS):
        monkeypatch.delitem(studies.ROWS, title)
    monkeypatch.setitem(studies.ROWS, "short", [Setting(steps=1), Setting(steps=2)])


@pytest.mark.usefixtures("short")
def test_the_command(folder, capsys):
    assert cli.main(["study", *PICTURES, "-o", "out"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == studies.COLUMNS
    assert [line.split()[3] for line in lines[1:3]] == ["1", "2"]
    assert lines[3:] == ["out/sheet.png", "out/curves.png", "out/study.json"]
    assert cli.main(["study", *PICTURES, "-o", "out"]) == cli.Exit.OUTPUT
    assert cli.main(["study", *PICTURES, "-o", "out", "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().err.count("\n") == 1  # about the second one


@pytest.mark.usefixtures("short")
def test_without_pictures_it_takes_those_of_the_demo(folder, monkeypatch):
    monkeypatch.setattr("fastconv.style.demo.pictures.demo_pictures", lambda: PICTURES)
    assert cli.main(["study", "--quiet"]) == 0
    assert (folder / "study" / "sheet.png").is_file()


@pytest.mark.usefixtures("short")
def test_mistakes_are_told_before_any_work(folder, capsys, monkeypatch):
    assert cli.main(["study", "photo.png"]) == cli.Exit.USAGE
    assert "expected CONTENT STYLE or no pictures, got photo.png" in capsys.readouterr().err
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.main(["study", *PICTURES]) == cli.Exit.USAGE
    assert "matplotlib is not installed; this command needs: pip install 'fastconv[study]'" in capsys.readouterr().err
    assert not (folder / "study").exists()
