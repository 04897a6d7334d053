"""The command `fastconv style`: what it prints, how it ends, and that nothing is lost on the way."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastconv import cli
from fastconv.nn.vgg import LAYER_NAMES
from fastconv.style import Options, Step, stylize
from fastconv.style.algorithm.scales import Scale
from fastconv.style.demo import pictures as demo
from fastconv.style.files import OutputError
from fastconv.style.running.checkpoint import Checkpoint
from fastconv.style.running.interruption import signals_between_steps
from fastconv.style.running.outputs import Outputs
from fastconv.style.running.progress import Clock, Progress
from fastconv.style.running.run import run
from fastconv.style.wording import format_seconds

# The first layers only, so that a run takes a moment.
QUICK = ["--steps", "2", "--content-layers", "relu2_2", "--style-layers", "relu1_1,relu2_1"]
ROOT = Path(__file__).parents[1]


@pytest.fixture
def style(folder):
    """Run the command in this process; options come after pictures and output, and may be given twice."""

    def style(*options, pictures=("photo.png", "painting.png"), output=("-o", "out.png"), callback=None):
        return cli.main(["style", *pictures, *output, *QUICK, *map(str, options)], callback=callback)

    return style


def size_of(path):
    with Image.open(path) as image:
        return image.size


# --- what it prints -----------------------------------------------------------------------------------------


def test_the_path_goes_to_stdout_and_everything_else_to_stderr(style, folder, capsys):
    assert style() == 0
    printed = capsys.readouterr()
    assert printed.out == "out.png\n"
    assert "weights random.npz (sha256 cdcdcdcdcdcdcdcd)" in printed.err
    assert "2 steps over 48x32 px" in printed.err
    assert "saved: out.png (48x32)" in printed.err
    with Image.open(folder / "out.png") as image:
        assert image.size == (48, 32)
        settings = json.loads(image.text["fastconv"])
    assert settings["weights"]["sha256"] == "cd" * 32
    assert settings["beta"] == Options().beta
    assert style("--steps", 1, "--overwrite") == 0
    assert "; 1 step over 48x32 px" in capsys.readouterr().err


def test_json_tells_settings_and_losses(style, capsys):
    assert style("--json", "--beta", 7, "--size", 40, "--seed", 3) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["output"], told["width"], told["height"]) == ("out.png", 40, 27)
    assert told["interrupted"] is False
    assert (told["settings"]["beta"], told["settings"]["size"], told["settings"]["seed"]) == (7, 40, 3)
    assert told["settings"]["content"] == {"name": "photo.png", "size": [32, 48]}
    assert [record["step"] for record in told["losses"]] == [1, 2]
    assert told["losses"][1]["loss"] < told["losses"][0]["loss"]


def test_quiet_is_silent_on_stderr(style, capsys):
    assert style("--quiet") == 0
    assert capsys.readouterr() == ("out.png\n", "")


def test_the_command_and_the_function_make_the_same_picture(style, folder, random_weights):
    assert style("--beta", 3, "--pooling", "average", "--no-clip", "--betas", "0.8,0.9") == 0
    expected = stylize(
        "photo.png",
        "painting.png",
        weights=random_weights,
        steps=2,
        content_layers=("relu2_2",),
        style_layers=("relu1_1", "relu2_1"),
        beta=3.0,
        pooling="average",
        clip=False,
        betas=(0.8, 0.9),
    )
    with Image.open(folder / "out.png") as image:
        np.testing.assert_array_equal(image, expected.image)


def test_pictures_of_16_bits(style, folder):
    assert style("--bits", 16) == 0
    header = (folder / "out.png").read_bytes()[:33]
    assert header[24] == 16  # the bit depth in IHDR
    assert style("--bits", 16, output=("-o", "out.tif")) == 0
    assert size_of(folder / "out.tif") == (48, 32)


def test_opacity_is_given_back_where_the_format_has_it(style, folder, capsys):
    with Image.open(folder / "photo.png") as photo:
        photo.putalpha(100)
        photo.save(folder / "clear.png")
    assert style(pictures=("clear.png", "painting.png")) == 0
    with Image.open(folder / "out.png") as image:
        assert image.mode == "RGBA"
        assert set(np.asarray(image)[..., 3].ravel()) == {100}
    assert "transparency" not in capsys.readouterr().err
    assert style(pictures=("clear.png", "painting.png"), output=("-o", "out.jpg")) == 0
    assert "out.jpg: JPEG has no transparency" in capsys.readouterr().err
    assert style("--save-every", 1, pictures=("clear.png", "painting.png"), output=("-o", "many.jpg")) == 0
    assert capsys.readouterr().err.count("transparency") == 1


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", ["out.png", "out.tif", "out.jpg", "out.webp"])
def test_settings_may_be_left_out_of_the_picture(style, folder, name, bits):
    if bits == 16 and name in ("out.jpg", "out.webp"):
        pytest.skip("8 bits only")
    assert style("--bits", bits, "--save-every", 1, output=("-o", name)) == 0
    assert all(b"sha256" in path.read_bytes() for path in folder.glob("out*"))
    assert style("--bits", bits, "--save-every", 1, "--no-metadata", "--overwrite", output=("-o", name)) == 0
    for path in folder.glob("out*"):
        data = path.read_bytes()
        assert not [word for word in (b"sha256", b"fastconv", b"Exif", b"painting") if word in data]


def test_the_layers_are_listed(style, capsys):
    assert style("--list-layers", pictures=(), output=()) == 0
    assert capsys.readouterr().out.split() == list(LAYER_NAMES)


def test_a_preset_is_a_set_of_defaults(style, capsys):
    assert style("--preset", "gatys", "--size", 40, "--json") == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert (settings["preset"], settings["loss"], settings["clip"], settings["size"]) == ("gatys", "gatys", False, 40)
    assert settings["style_layers"] == ["relu1_1", "relu2_1"]


def test_masks_colours_and_layers_with_weights(style, folder, capsys):
    halves = np.zeros((2, 32, 48), np.uint8)
    halves[0, :, :24] = halves[1, :, 24:] = 255
    for half, name in zip(halves, ("left.png", "right.png"), strict=True):
        Image.fromarray(half).save(folder / name)
    options = ["--mask", "left.png", "--mask", "right.png", "-sw", "1,2", "--preserve-colors", "luma"]
    layers = ["--style-layers", "relu1_1:3,relu2_1", "--optimizer", "lbfgs", "--padding", "zeros", "--init", "style"]
    assert style(*options, *layers, "--json", pictures=("photo.png", "painting.png", "photo.png")) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["masks"] == ["left.png", "right.png"]
    assert settings["style_weights"] == [1, 2]
    assert settings["style_layers"] == ["relu1_1:3", "relu2_1"]
    for name, value in (("preserve_colors", "luma"), ("optimizer", "lbfgs"), ("padding", "zeros"), ("init", "style")):
        assert settings[name] == value


def test_several_styles_and_a_picture_to_start_from(style, folder, capsys):
    pictures = ("photo.png", "painting.png", "photo.png")
    assert style("--style-weights", "3,1", "--init", "painting.png", "--json", pictures=pictures) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert [style["name"] for style in settings["styles"]] == ["painting.png", "photo.png"]
    assert settings["style_weights"] == [3, 1]
    assert settings["init"] == "painting.png"


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("--steps", "--iterations"),
        ("--alpha", "--content-weight"),
        ("--beta", "--style-weight"),
        ("--learning-rate", "--lr"),
    ],
)
def test_options_have_aliases(style, capsys, name, alias):
    settings = []
    for option in (name, alias):
        assert style(option, 3, "--overwrite", "--json") == 0
        settings.append(json.loads(capsys.readouterr().out)["settings"])
    assert settings[0] == settings[1]
    assert settings[0][name[2:].replace("-", "_")] == 3


def test_help_shows_the_defaults_of_the_function(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["style", "--help"]) == 0
    shown = capsys.readouterr().out
    for line in ("size; WxH stretches (default: 512)", f"(default: {Options().beta})", "(default: relu4_2)"):
        assert line.split("; ")[-1] in shown


@pytest.mark.parametrize("extension", [".jpg", ".webp", ".tif"])
def test_other_formats(style, folder, extension):
    assert style(output=("-o", f"out{extension}")) == 0
    assert size_of(folder / f"out{extension}") == (48, 32)


def test_the_demo_needs_no_pictures(style, folder, capsys):
    pytest.importorskip("skimage")
    assert style("--demo", "--size", 48, "--json", pictures=(), output=()) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["content"] == {"name": "coffee.png", "size": [400, 600]}
    assert settings["styles"] == [{"name": "the demo's painting", "size": [288, 384]}]
    assert size_of(folder / "demo.png") == (48, 32)


def test_the_demo_replaces_nothing(style, folder, capsys, monkeypatch):
    monkeypatch.setattr(demo, "demo_photograph", lambda: folder / "photo.png")
    monkeypatch.setattr(demo, "paint", lambda height, width: np.full((height, width, 3), 99, np.uint8))
    for expected in ("demo.png", "demo-2.png", "demo-3.png"):
        assert style("--demo", "--quiet", pictures=(), output=()) == 0
        assert capsys.readouterr().out == f"{expected}\n"
        assert size_of(folder / expected) == (48, 32)
    assert style("--demo", pictures=()) == 0
    assert size_of(folder / "out.png") == (48, 32)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ([], 384),
        (["--preset", "fast"], 384),
        (["--preset", "best"], 384),
        (["--preset", "gatys"], "320x192"),
        (["--preset", "gatys", "--size", 40], 40),
    ],
)
def test_the_demo_has_the_size_of_a_preset_that_says_one(style, folder, capsys, monkeypatch, options, size):
    monkeypatch.setattr(demo, "demo_pictures", lambda: (folder / "photo.png", folder / "painting.png"))
    assert style("--demo", *options, "--json", pictures=(), output=()) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["size"] == size


# --- how it ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pictures": ("photo.png",)}, "expected CONTENT STYLE"),
        ({"pictures": ()}, "expected CONTENT STYLE"),
        ({"output": ()}, "expected -o OUT"),
        ({"pictures": ("nowhere.png", "painting.png")}, "nowhere.png"),
        ({"pictures": ("photo.png", "text.png")}, "text.png"),
        ({"pictures": ("n" * 300, "painting.png")}, "cannot be read: File name too long"),
        ({"options": ["--steps", 0]}, "steps must be a whole number"),
        ({"options": ["--steps", "many"]}, "--steps"),
        ({"options": ["--size", "12"]}, "size must be"),
        ({"options": ["--size", "wide"]}, "size must be"),
        ({"options": ["--loss", "none"]}, "loss must be one of relative, gatys, gram"),
        ({"options": ["--beta", "nan"]}, "beta must be"),
        ({"options": ["--style-weights", "1,x"]}, "--style-weights/-sw: expected numbers separated by commas, one for"),
        ({"options": ["--betas", "0.9;0.99"]}, "--betas: expected two numbers from 0 to below 1, separated by a comma"),
        ({"options": ["--betas", "0.9"]}, "betas must be two numbers in [0, 1), got (0.9,)"),
        ({"options": ["--style-weights", "1,2"]}, "style_weights must be as many"),
        ({"options": ["--init", "nowhere.png"]}, "nowhere.png"),
        ({"options": ["--threads", 0]}, "threads"),
        ({"options": ["--threads", 100000]}, "threads"),
        ({"options": ["--demo"]}, "--demo takes no pictures"),
        ({"options": ["--siz", 100]}, "--siz"),
        ({"options": ["--preset", "slow"]}, "preset must be one of fast, best, gatys"),
        ({"options": ["--mask", "painting.png"]}, "mask 1: 40x40 px is out of proportion"),
        ({"options": ["--mask", "photo.png", "--mask", "photo.png"]}, "masks must be as many"),
        ({"options": ["--style-layers", "relu1_1:x"]}, "style_layers must be layers with weights"),
        ({"options": ["--preserve-colors", "hue"]}, "preserve_colors must be one of None, luma, match"),
        ({"options": ["--optimizer", "sgd"]}, "optimizer must be one of adam, lbfgs"),
    ],
)
def test_mistakes_of_usage(style, folder, capsys, options, message):
    (folder / "text.png").write_text("<!DOCTYPE html>")
    options = dict(options)
    assert style(*options.pop("options", ()), **options) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not (folder / "out.png").exists()


@pytest.mark.parametrize("weights", ["nowhere.npz", "photo.png"])
def test_weights_that_are_missing_or_wrong(style, folder, capsys, weights):
    assert style("--weights", weights) == 3
    assert weights in capsys.readouterr().err


def test_offline_is_heard(style, folder, capsys, monkeypatch):
    monkeypatch.delenv("FASTCONV_WEIGHTS")
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(folder / "cache"))
    assert style("--weights", "vgg19", "--offline") == 3


@pytest.mark.parametrize(("name", "bits"), [("out.jpg", 16), ("out.png", 12)])
def test_a_format_without_so_many_bits_is_found_before_any_work(style, capsys, name, bits):
    assert style("--bits", bits, pictures=("nowhere.png",) * 2, output=("-o", name)) == 5
    assert f"16 for PNG and TIFF, got {bits}" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["out.xyz", "out", "nowhere/out.png", "photo.png", "."])
def test_an_output_that_cannot_be_written_is_found_before_any_work(style, capsys, output):
    assert style("--weights", "nowhere.npz", pictures=("nowhere.png",) * 2, output=("-o", output)) == 5
    assert output in capsys.readouterr().err


def test_a_file_is_replaced_only_when_asked(style, folder):
    before = (folder / "photo.png").read_bytes()
    assert style(output=("-o", "photo.png")) == 5
    assert (folder / "photo.png").read_bytes() == before
    assert style("--overwrite", output=("-o", "photo.png")) == 0
    assert (folder / "photo.png").read_bytes() != before


@pytest.mark.skipif(sys.platform == "win32", reason="names have other limits")
def test_long_names(style, folder, capsys):
    long = f"{'n' * 240}.png"
    options = ["--save-every", 1, "--checkpoint", f"{'c' * 246}", "--log", f"{'l' * 255}"]
    assert style(*options, output=("-o", long)) == 0
    assert size_of(folder / long) == (48, 32)
    assert (folder / f"{'n' * 240}-0002.png").exists()
    for output, option in (
        (f"{'n' * 251}.png", ()),
        (f"{'n' * 252}.png", ()),
        ("out.png", ("--log", "l" * 256)),
        ("out.png", ("--checkpoint", "c" * 250)),
        ("out.png", ("--report", f"{'d' * 300}/run.html")),
    ):
        capsys.readouterr()
        assert style(*option, pictures=("nowhere.png",) * 2, output=("-o", output)) == 5
        assert "Traceback" not in capsys.readouterr().err
    assert len(list(folder.iterdir())) == 8


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
@pytest.mark.parametrize("target", ["nowhere/run.json", "link", "/dev/null", "n" * 256])
def test_links_to_where_nothing_can_be_written(style, folder, target):
    (folder / "link").symlink_to(target)
    assert style("--log", "link", "--overwrite", pictures=("nowhere.png",) * 2) == 5


def test_too_little_memory(style, capsys):
    assert style("--weights", "nowhere.npz", "--max-memory", "1M") == 4
    assert "48x32 px needs about" in capsys.readouterr().err


def test_the_estimate_is_told_before_the_first_step(style, capsys):
    assert style("--tile", "320") == 0
    printed = capsys.readouterr().err
    assert re.search(
        r"at 48x32 px a step takes about \d+(\.\d+)? GFLOP; the run needs about 0\.\d\d GB of memory", printed
    )
    assert printed.index("GFLOP") < printed.index("saved:")


@pytest.mark.parametrize(
    "arguments", [("--tile", "100"), ("--max-memory", "much"), ("--tile", "512", "--optimizer", "lbfgs")]
)
def test_tiles_and_limits_without_meaning(style, capsys, arguments):
    assert style(*arguments) == 2
    assert arguments[0].strip("-").replace("-", "_") in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_run_that_blows_up(style, capsys):
    assert style("--no-clip", "--lr", "1e30") == 0
    printed = capsys.readouterr().err
    assert "a step back, and on with a learning_rate of 2.5e+29" in printed
    assert "Traceback" not in printed


def test_a_missing_extra_is_told_with_the_command(folder):
    code = (
        "import sys; sys.modules['PIL'] = None; from fastconv.cli import main; "
        "sys.exit(main(['style', 'photo.png', 'painting.png', '-o', 'out.png']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'fastconv[style]'" in done.stderr
    assert "Traceback" not in done.stderr


# --- interruption -------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals to other processes")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_saves_what_there_is(folder, number, code):
    program = [sys.executable, "-c", "import sys; from fastconv.cli import main; sys.exit(main())"]
    process = subprocess.Popen(
        [
            *program,
            "style",
            "photo.png",
            "painting.png",
            "-o",
            "out.png",
            *QUICK,
            "--steps",
            "1000000",
            "--restore-size",
            "--size",
            "40",
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if "steps over" in line:
                break
        time.sleep(1)  # it is at work, whether compiling or stepping
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "stopping after this step" in err
    assert "interrupted; what there was is saved: out.png" in err
    told = json.loads(out)
    assert told["interrupted"] is True
    assert 0 < len(told["losses"]) < 1000000
    assert size_of(folder / "out.png") == (48, 32)


def test_a_second_interruption_quits_at_once():
    code = (
        "import signal; from fastconv.style.running.interruption import signals_between_steps as between\n"
        "with between(lambda: print('first', flush=True)) as interruption:\n"
        "    signal.raise_signal(signal.SIGINT); assert interruption.signal == signal.SIGINT\n"
        "    signal.raise_signal(signal.SIGINT); print('second')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (130, "first", "")


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals_between_steps(lambda: None):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


# --- progress -----------------------------------------------------------------------------------------------

PLAN = (Scale(10, 20, 2), Scale(20, 40, 3))


def step(scale, number, seconds):
    return Step(scale, number, 3, 1.5, 0.5, 1.0, seconds, lambda: None)


class Stream:
    """Text that is written, on a terminal or not."""

    def __init__(self, terminal):
        self.text = ""
        self.isatty = lambda: terminal
        self.flush = lambda: None

    def write(self, text):
        self.text += text


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_time_left_goes_by_pixels_and_leaves_out_first_steps():
    clock = Clock(PLAN)
    clock.update(step(20, 1, 100.0))  # compiles
    assert clock.seconds_left is None
    clock.update(step(20, 2, 2.0))  # 200 pixels
    assert clock.seconds_left == pytest.approx(3 * 4 * 2.0)
    clock.update(step(40, 1, 50.0))
    clock.update(step(40, 2, 8.0))
    assert clock.seconds_left == pytest.approx(8.0)
    clock.update(step(40, 3, 8.0))
    assert clock.seconds_left == 0


def test_a_run_that_goes_on_has_first_steps_of_its_own():
    clock = Clock((Scale(10, 20, 8), PLAN[1]))
    clock.update(step(20, 3, 100.0))  # compiles, though it is not the scale's first step
    assert clock.seconds_left is None
    clock.update(step(20, 4, 2.0))
    assert clock.seconds_left == pytest.approx(6 * 2.0 + 3 * 4 * 2.0)


def test_time_left_can_go_by_the_work_of_tiles():
    clock = Clock(PLAN, work=lambda scale: 1000 * scale.long_side)
    for number in (1, 2):
        clock.update(step(20, number, 1.0))
    assert clock.seconds_left == pytest.approx(3 * 2 * 1.0)


def test_a_terminal_has_one_line_that_renews_itself(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    stream = Stream(terminal=True)
    progress = Progress(PLAN, stream)
    for number in (1, 2, 3):
        progress.update(step(40, number, 0.5))
        clock[0] += 1
    progress.end_line()
    assert stream.text.count("\r") == 3
    assert stream.text.count("\n") == 1
    assert stream.text.endswith("\n")
    assert "40 px (2/2), step 3/3: 0.2 s left, 0.50 s/step, loss 1.5 (content 0.5, style 1)" in stream.text


def test_a_line_is_cut_to_a_narrow_terminal(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Stream(terminal=True)
    Progress(PLAN, stream).update(step(40, 1, 0.5))
    assert stream.text == "\r40 px (2/2), step 1\x1b[K"


def test_elsewhere_there_is_a_plain_line_every_ten_seconds(clock):
    stream = Stream(terminal=False)
    progress = Progress(PLAN, stream)
    for second in range(1, 26):
        clock[0] = 1000.0 + second
        progress.update(step(20, min(second, 2), 1.0))
    progress.end_line()
    assert stream.text.count("\n") == 2
    assert "\r" not in stream.text
    assert "\x1b" not in stream.text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (65, "1:05"), (3599.7, "1:00:00"), (7205, "2:00:05")]
)
def test_durations_are_readable(seconds, text):
    assert format_seconds(seconds) == text


# --- the example --------------------------------------------------------------------------------------------


def test_the_example_runs_and_is_short(folder):
    script = ROOT / "examples" / "style_transfer.py"
    assert len(script.read_text().splitlines()) < 60
    command = [sys.executable, script, "photo.png", "painting.png", "out.png", "--steps", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "step    1  content 0  style" in done.stdout
    assert size_of(folder / "out.png") == (320, 192)


@pytest.mark.parametrize(("error", "code"), [(FloatingPointError("too far"), 1), (MemoryError(), 4)])
def test_what_there_is_of_a_run_that_cannot_go_on_is_saved(style, folder, capsys, error, code):
    def failing(step):
        if step.step == 4:
            raise error

    assert style("--steps", 5, output=("-o", "whole.png")) == 0
    (folder / "out-unfinished.png").write_text("precious")
    assert style("--steps", 5, "--checkpoint", "run.npz", callback=failing) == code
    assert "the picture as far as it came: out-unfinished-2.png" in capsys.readouterr().err
    assert not (folder / "out.png").exists()
    assert (folder / "out-unfinished.png").read_text() == "precious"
    assert size_of(folder / "out-unfinished-2.png") == (48, 32)
    assert cli.main(["style", "--resume", "run.npz"]) == 0
    assert size_of(folder / "out.png") == (48, 32)
    assert (folder / "out.png").read_bytes() == (folder / "whole.png").read_bytes()


def test_a_checkpoint_that_cannot_be_written_does_not_cost_the_unfinished_picture(style, folder, monkeypatch, capsys):
    def failing(step):
        if step.step == 2:
            raise FloatingPointError("too far")

    def full(checkpoint, frames=()):
        raise OutputError("no space left")

    monkeypatch.setattr(Checkpoint, "write", full)
    assert style("--checkpoint", "run.npz", callback=failing) == 1
    assert "the checkpoint could not be written: no space left" in capsys.readouterr().err
    assert size_of(folder / "out-unfinished.png") == (48, 32)


def test_a_run_whose_progress_nobody_reads_leaves_its_picture(folder, monkeypatch):
    def closed(progress, step):
        raise BrokenPipeError

    monkeypatch.setattr(Progress, "update", closed)
    options = {"content_layers": ("relu2_2",), "style_layers": ("relu1_1",)}
    with pytest.raises(BrokenPipeError):
        run("photo.png", ["painting.png"], Outputs(Path("out.png")), progress=sys.stderr, **options)
    assert size_of(folder / "out-unfinished.png") == (48, 32)


def test_a_report_needs_neither_losses_nor_the_file_of_the_photograph(style, folder):
    def without_file(step):
        (folder / "photo.png").unlink(missing_ok=True)

    assert style("--beta", 0, "--tv", 0, "--report", "run.html", callback=without_file) == 0
    assert (folder / "run.html").is_file()
