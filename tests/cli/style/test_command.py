"""The command `fastconv style`: what it prints, and how it ends."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fastconv import cli
from fastconv.nn.vgg_layers import LAYER_NAMES
from fastconv.style import Options, stylize
from fastconv.style.demo import pictures as demo

from ...style.helpers import QUICK, size_of


@pytest.fixture
def style(folder):
    """Run the command in this process; options come after pictures and output, and may be given twice."""

    def style(*options, pictures=("photo.png", "painting.png"), output=("-o", "out.png"), callback=None):
        return cli.main(["style", *pictures, *output, *QUICK, *map(str, options)], callback=callback)

    return style


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
