"""Pictures of every kind go in as sRGB from 0 to 255, and come out whole or not at all."""

import json
import os
import stat
import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")
from PIL import ImageCms  # noqa: E402

from fastconv.style.demo.photograph import demo_photograph  # noqa: E402
from fastconv.style.files import OutputError  # noqa: E402
from fastconv.style.images import (  # noqa: E402
    ImageError,
    ImageWarning,
    Picture,
    check_output,
    load,
    name_of,
    reading,
    resize,
    save,
    size_to_fit,
)


@pytest.fixture
def noise():
    return np.random.default_rng(3).integers(0, 256, (20, 31, 3), dtype=np.uint8)


@pytest.fixture
def smooth():
    """A picture that JPEG keeps to a few grey levels."""
    rows, columns = np.mgrid[0:40, 0:64]
    return np.dstack([4 * columns, 6 * rows, 255 - 2 * columns - 2 * rows]).clip(0, 255).astype(np.uint8)


def stored(tmp_path, image, name="in.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def mean_difference(a, b):
    return np.abs(a.astype(float) - b).mean()


# --- arrays -----------------------------------------------------------------------------------------------


def test_array_is_taken_as_it_is(noise):
    for array in (noise, noise.astype(np.float32), noise.astype(np.float64), noise.astype(">f4")):
        picture = load(array)
        assert picture.rgb.dtype == np.float32
        assert picture.rgb.flags.c_contiguous
        assert picture.alpha is None
        assert picture.size == (20, 31)
        np.testing.assert_array_equal(picture.rgb, noise)


def test_float_array_is_copied(noise):
    mine = noise.astype(np.float32)
    load(mine).rgb[:] = 0
    np.testing.assert_array_equal(mine, noise)


def test_grey_16_bit_and_alpha_arrays(noise):
    np.testing.assert_array_equal(load(noise[..., 0]).rgb, noise[..., [0, 0, 0]])
    np.testing.assert_allclose(load(noise.astype(np.uint16) * 257).rgb, noise, rtol=1e-6)
    opacity = np.zeros((20, 31, 1), np.uint8)
    opacity[:10] = 255
    picture = load(np.dstack([noise, opacity]))
    np.testing.assert_array_equal(picture.rgb[:10], noise[:10])
    np.testing.assert_array_equal(picture.rgb[10:], 255)
    np.testing.assert_array_equal(picture.alpha, opacity[..., 0] / 255)


def test_picture_passes_through(noise):
    picture = load(noise)
    assert load(picture) is picture


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 8, 8), np.uint8), ["style", "(3, 8, 8)", "(H, W, 3)"]),
        (np.zeros((0, 8, 3), np.uint8), ["style", "(0, 8, 3)"]),
        (np.zeros((8, 8, 3), np.int64), ["style", "int64", "uint8"]),
        (np.full((8, 8, 3), 0.5), ["style", "0.5", "255"]),
        (np.full((8, 8, 3), 300.0), ["style", "300", "0 to 255"]),
        (np.full((8, 8, 3), -1.0), ["style", "-1"]),
        (np.full((8, 8, 3), np.nan), ["style", "nan"]),
    ],
)
def test_wrong_array_is_named(array, words):
    with pytest.raises(ImageError) as caught:
        load(array, name="style")
    assert all(word in str(caught.value) for word in words)


def test_other_types_are_named():
    with pytest.raises(TypeError, match="content is of type list"):
        load([[1, 2]], name="content")


# --- kinds of files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_path", [str, Path])
def test_rgb_png(tmp_path, noise, as_path):
    path = stored(tmp_path, Image.fromarray(noise))
    np.testing.assert_array_equal(load(as_path(path)).rgb, noise)


def test_pillow_image_is_read_and_left_alone(noise):
    image = Image.fromarray(noise)
    np.testing.assert_array_equal(load(image).rgb, noise)
    np.testing.assert_array_equal(np.asarray(image), noise)


@pytest.mark.parametrize("mode", ["1", "L", "P", "HSV", "YCbCr", "RGBX"])
def test_opaque_modes_match_pillow(noise, mode):
    image = Image.fromarray(noise).convert(mode)
    picture = load(image)
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_composited_on_white_and_kept(tmp_path, noise, mode):
    opacity = np.linspace(0, 255, 20 * 31).reshape(20, 31).round().astype(np.uint8)
    colour = Image.fromarray(noise).convert({"LA": "L", "PA": "P"}.get(mode, "RGB"))
    image = colour.convert(mode)
    image.putalpha(Image.fromarray(opacity))
    picture = load(image if mode == "PA" else stored(tmp_path, image))
    alpha = opacity[..., None] / 255
    np.testing.assert_allclose(picture.alpha, alpha[..., 0], atol=1e-6)
    expected = np.asarray(colour.convert("RGB")) * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(picture.rgb, expected, atol=1e-4)


def test_opaque_alpha_is_dropped(noise):
    assert load(Image.fromarray(noise).convert("RGBA")).alpha is None


@pytest.mark.parametrize("transparency", [0, bytes([0, 128, 255])])
def test_transparent_palette(tmp_path, transparency):
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    picture = load(stored(tmp_path, image, transparency=transparency))
    half = 1.0 if transparency == 0 else 128 / 255
    np.testing.assert_allclose(picture.alpha, [[0, half, 1]])
    expected = [[[255, 255, 255], [255 - 255 * half, 255, 255 - 255 * half], [0, 0, 255]]]
    np.testing.assert_allclose(picture.rgb, expected, atol=1e-4)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_transparent_colour_of_a_png(tmp_path, mode):
    key = 7 if mode == "L" else (7, 7, 7)
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), 90 if mode == "L" else (90, 90, 90))
    picture = load(stored(tmp_path, image, transparency=key))
    np.testing.assert_array_equal(picture.alpha, [[0, 1]])
    np.testing.assert_array_equal(picture.rgb, [[[255] * 3, [90] * 3]])


@pytest.mark.parametrize("name", ["in.png", "in.tif", "in.pgm"])
def test_16_bit_grey_keeps_its_shades(tmp_path, name):
    shades = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    picture = load(stored(tmp_path, Image.fromarray(shades), name))
    np.testing.assert_allclose(picture.rgb, np.repeat(shades[..., None] / 257, 3, axis=2), atol=1e-4)


def test_16_bit_grey_big_endian():
    image = Image.fromarray(np.array([[0, 257, 65535]], np.uint16)).convert("I").convert("I;16B")
    np.testing.assert_allclose(load(image).rgb[0, :, 0], [0, 1, 255])


def test_16_bit_colour_is_right_to_one_grey_level(tmp_path, smooth):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "in.tif", smooth.astype(np.uint16) * 257, photometric="rgb")
    assert np.abs(load(tmp_path / "in.tif").rgb - smooth).max() <= 1


def test_float_tiff(tmp_path, smooth):
    grey = smooth[..., 0].astype(np.float32)
    picture = load(stored(tmp_path, Image.fromarray(grey), "in.tif"))
    np.testing.assert_array_equal(picture.rgb[..., 1], grey)
    path = stored(tmp_path, Image.fromarray(grey / 255), "dark.tif")
    with pytest.raises(ImageError, match=r"dark\.tif .*multiply by 255"):
        load(path)


def without_adobe_mark(jpeg):
    at = jpeg.index(b"\xff\xee")
    (length,) = struct.unpack(">H", jpeg[at + 2 : at + 4])
    return jpeg[:at] + jpeg[at + 2 + length :]


def test_cmyk_jpeg_with_adobes_inverted_values_and_without(tmp_path):
    ink = Image.new("CMYK", (16, 16), (0, 200, 200, 0))
    buffer = BytesIO()
    ink.save(buffer, "JPEG", quality=100)
    adobe = tmp_path / "adobe.jpg"
    adobe.write_bytes(buffer.getvalue())
    np.testing.assert_allclose(load(adobe).rgb, np.full((16, 16, 3), [255, 55, 55]), atol=3)

    buffer = BytesIO()
    Image.eval(ink, lambda value: 255 - value).save(buffer, "JPEG", quality=100)
    plain = tmp_path / "plain.jpg"
    plain.write_bytes(without_adobe_mark(buffer.getvalue()))
    np.testing.assert_allclose(load(plain).rgb, np.full((16, 16, 3), [255, 55, 55]), atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, smooth, orientation):
    # How a camera held that way stores the scene (EXIF 2.3, table of tag 0x0112).
    as_stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](smooth)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = stored(tmp_path, Image.fromarray(np.ascontiguousarray(as_stored)), exif=exif)
    np.testing.assert_array_equal(load(path).rgb, smooth)


def swapped_primaries_profile():
    """An ICC profile like sRGB, but with the red and the green primary exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack(">I", profile[128:132])
    entries = {profile[at : at + 4].decode(): at for at in range(132, 132 + 12 * count, 12)}
    red, green = (entries[name] for name in ("rXYZ", "gXYZ"))
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_icc_profile_is_applied(tmp_path, noise, mode):
    path = stored(tmp_path, Image.fromarray(noise).convert(mode), icc_profile=swapped_primaries_profile())
    np.testing.assert_allclose(load(path).rgb, noise[..., [1, 0, 2]], atol=2)


def test_broken_icc_profile_is_told_and_ignored(tmp_path, noise):
    path = stored(tmp_path, Image.fromarray(noise), icc_profile=b"no profile at all")
    with pytest.warns(ImageWarning, match=r"in\.png: its colour profile is ignored"):
        picture = load(path)
    np.testing.assert_array_equal(picture.rgb, noise)


def test_profile_of_another_colour_space_is_told_and_ignored(tmp_path, noise):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with pytest.warns(ImageWarning, match="ignored"):
        picture = load(stored(tmp_path, Image.fromarray(noise[..., 0]), icc_profile=profile))
    np.testing.assert_array_equal(picture.rgb[..., 2], noise[..., 0])


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(load(tmp_path / "in.gif").rgb, np.full((8, 8, 3), [255, 0, 0]))


# --- what is no picture -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>404</html>", "web page"),
        (b"just some words", "not a picture"),
        (b"\x89PNG\r\n\x1a\nnonsense", "not a picture|damaged"),
    ],
)
def test_no_picture(tmp_path, content, words):
    path = tmp_path / "in.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"in\\.png .*({words})"):
        load(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        load(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["in.png", "in.jpg", "in.webp", "in.tif", "in.gif", "in.bmp"])
@pytest.mark.parametrize("kept", [0.1, 0.6])
def test_truncated_files(tmp_path, noise, name, kept):
    path = stored(tmp_path, Image.fromarray(noise).resize((200, 150)), name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ImageError, match=name.replace(".", r"\.")):
        load(path)


def test_too_many_pixels(tmp_path, noise, monkeypatch):
    path = stored(tmp_path, Image.fromarray(noise))
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(reading, "MAX_PIXELS", 20 * 31)
    assert load(path).size == (20, 31)
    monkeypatch.setattr(reading, "MAX_PIXELS", 20 * 31 - 2)
    with pytest.raises(ImageError, match=r"in\.png has more than"):
        load(path)
    assert before == Image.MAX_IMAGE_PIXELS


def test_picture_above_pillows_own_limit_is_read_in_silence(tmp_path, noise, monkeypatch):
    path = stored(tmp_path, Image.fromarray(noise))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert load(path).size == (20, 31)


def test_demo_photograph():
    pytest.importorskip("skimage")
    assert load(demo_photograph()).size == (400, 600)


def test_demo_photograph_without_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastconv\[demo\]'"):
        demo_photograph()


# --- sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "size", "enlarge", "expected"),
    [
        ((400, 600), 384, False, (256, 384)),
        ((600, 400), 384, False, (384, 256)),
        ((400, 600), 600, False, (400, 600)),
        ((400, 600), 900, False, (400, 600)),
        ((400, 600), 900, True, (600, 900)),
        ((1, 1000), 10, False, (1, 10)),
    ],
)
def test_size_to_fit(shape, size, enlarge, expected):
    assert size_to_fit(shape, size, enlarge=enlarge) == expected


def test_size_to_fit_needs_a_pixel():
    with pytest.raises(ValueError, match="size is 0; expected"):
        size_to_fit((400, 600), 0)


@pytest.mark.parametrize("method", ["lanczos", "bicubic", "bilinear", "area"])
@pytest.mark.parametrize("size", [(7, 11), (30, 50), (20, 31)])
def test_resize_keeps_constants_and_range_of_dtype(method, size):
    flat = resize(np.full((20, 31, 3), 12.25), size, method=method)
    assert flat.shape == (*size, 3)
    assert flat.dtype == np.float32
    np.testing.assert_allclose(flat, 12.25, rtol=1e-6)


def test_resize_does_not_round():
    ramp = np.tile(np.linspace(100, 101, 64, dtype=np.float32), (8, 1))
    half = resize(ramp, (4, 32), method="area")
    np.testing.assert_allclose(half, ramp.reshape(4, 2, 32, 2).mean((1, 3)), atol=1e-4)


def test_resize_to_the_same_size_is_a_copy(noise):
    array = noise.astype(np.float32)
    same = resize(array, (20, 31))
    assert not np.shares_memory(same, array)
    np.testing.assert_array_equal(same, array)


def test_resize_names_a_wrong_method(noise):
    with pytest.raises(ValueError, match=r"method is 'nearest'; expected one of lanczos"):
        resize(noise, (5, 5), method="nearest")


def test_resized_picture_stays_in_range():
    edge = np.zeros((40, 40, 3), np.float32)
    edge[:, 20:] = 255
    picture = Picture(edge, edge[..., 0] / 255).resized((60, 60))
    assert resize(edge, (60, 60)).max() > 255
    assert (picture.rgb.min(), picture.rgb.max()) == (0, 255)
    assert (picture.alpha.min(), picture.alpha.max()) == (0, 1)


# --- writing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.png", "out.tif", "OUT.TIFF"])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_lossless_round_trip(tmp_path, noise, name, with_alpha):
    alpha = np.tile(np.linspace(1, 0.5, 31), (20, 1)) if with_alpha else None
    save(tmp_path / name, noise, alpha=alpha)
    with Image.open(tmp_path / name) as image:
        np.testing.assert_array_equal(np.asarray(image)[..., :3], noise)
        assert image.info["icc_profile"]
    if with_alpha:
        np.testing.assert_allclose(load(tmp_path / name).alpha, alpha, atol=0.5 / 255 + 1e-6)
    else:
        np.testing.assert_array_equal(load(tmp_path / name).rgb, noise)


@pytest.mark.parametrize("name", ["out.jpg", "out.jpeg", "out.webp"])
def test_lossy_round_trip(tmp_path, smooth, name):
    save(tmp_path / name, smooth)
    with Image.open(tmp_path / name) as image:
        assert image.info["icc_profile"]
    assert mean_difference(load(tmp_path / name).rgb, smooth) < 2


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255
    save(tmp_path / "out.jpg", stripes)
    assert mean_difference(load(tmp_path / "out.jpg").rgb, stripes) < 10  # halved colour gives over 60


def test_floats_are_rounded_and_clipped(tmp_path):
    save(tmp_path / "out.png", np.array([[[-20.0, 99.6, 300.0]]], np.float32))
    np.testing.assert_array_equal(load(tmp_path / "out.png").rgb, [[[0, 100, 255]]])


def test_16_bit_tiff(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    shades = np.random.default_rng(1).uniform(0, 255, (9, 12, 3))
    alpha = np.linspace(0, 1, 108).reshape(9, 12)
    save(tmp_path / "out.tif", shades, alpha=alpha, bits=16, metadata={"steps": "300"})
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        page = file.pages[0]
        pixels = page.asarray()
        assert pixels.dtype == np.uint16
        np.testing.assert_allclose(pixels[..., :3] / 257, shades, atol=0.002)
        np.testing.assert_allclose(pixels[..., 3] / 65535, alpha, atol=1e-5)
        assert json.loads(page.description) == {"steps": "300"}
        assert page.tags["InterColorProfile"].value


def decode_png(data):
    """Decode a PNG of 16-bit samples, which Pillow rounds to 8 bits: its chunks, and its pixels."""
    chunks, position = {}, 8
    while position < len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        chunks[name] = chunks.get(name, b"") + data[position + 8 : position + 8 + length]
        position += length + 12
    width, height, depth, color = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert depth == 16
    step = 2 * {2: 3, 6: 4}[color]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + step * width).astype(int)
    above = np.zeros(step * width, int)
    for line in lines:
        row = line[1:]
        for i in range(row.size):
            left, corner = (row[i - step], above[i - step]) if i >= step else (0, 0)
            nearest = min((left, above[i], corner), key=lambda value: abs(left + above[i] - corner - value))
            row[i] = (row[i] + (0, left, above[i], (left + above[i]) // 2, nearest)[line[0]]) % 256
        above = row
    return chunks, lines[:, 1:].astype(np.uint8).view(">u2").reshape(height, width, -1)


@pytest.mark.parametrize("transparent", [False, True])
def test_16_bit_png(tmp_path, transparent):
    pytest.importorskip("numpngw")
    shades = np.random.default_rng(1).uniform(0, 255, (9, 12, 3))
    shades[4:] = np.linspace(0, 255, 36).reshape(12, 3)  # smooth, so that a filter is chosen
    alpha = np.linspace(0, 1, 108).reshape(9, 12) if transparent else None
    save(tmp_path / "out.png", shades, alpha=alpha, bits=16, metadata={"steps": "300"})
    chunks, pixels = decode_png((tmp_path / "out.png").read_bytes())
    np.testing.assert_allclose(pixels[..., :3] / 257, shades, atol=0.002)
    assert pixels.shape[2] == 3 + transparent
    if transparent:
        np.testing.assert_allclose(pixels[..., 3] / 65535, alpha, atol=1e-5)
    assert chunks[b"tEXt"].startswith(b"steps\x00300")
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == ("RGBA" if transparent else "RGB")
        assert ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"])).profile.profile_description


@pytest.mark.parametrize(("name", "bits"), [("out.jpg", 16), ("out.webp", 16), ("out.png", 12)])
def test_not_every_format_has_16_bits(tmp_path, noise, name, bits):
    for refuse in (lambda path: save(path, noise, bits=bits), lambda path: check_output(path, bits=bits)):
        with pytest.raises(OutputError, match=f"16 for PNG and TIFF, got {bits}"):
            refuse(tmp_path / name)


def test_jpeg_drops_alpha_with_a_message(tmp_path, smooth):
    with pytest.warns(ImageWarning, match=r"out\.jpg: JPEG has no transparency"):
        save(tmp_path / "out.jpg", smooth, alpha=np.zeros((40, 64)))
    assert load(tmp_path / "out.jpg").alpha is None


METADATA = {"Software": "fastconv", "styles": "Überfahrt.png", "beta": "100"}


def test_metadata_in_png(tmp_path, noise):
    save(tmp_path / "out.png", noise, metadata=METADATA)
    with Image.open(tmp_path / "out.png") as image:
        assert METADATA.items() <= image.text.items()


@pytest.mark.parametrize("name", ["out.jpg", "out.webp", "out.tif"])
def test_metadata_elsewhere(tmp_path, noise, name):
    save(tmp_path / name, noise, metadata=METADATA)
    with Image.open(tmp_path / name) as image:
        description = image.tag_v2[270] if name.endswith("tif") else image.getexif()[0x010E]
    assert json.loads(description) == METADATA


def test_save_replaces_and_leaves_nothing_else(tmp_path, noise):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    save(path, noise)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]
    np.testing.assert_array_equal(load(path).rgb, noise)


def test_failed_save_keeps_the_old_file(tmp_path, noise, monkeypatch):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")

    def full_disk(self, file, *args, **options):
        file.write(b"half a pic")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OutputError, match=r"out\.png cannot be written: .*No space left"):
        save(path, noise)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_saved_file_has_ordinary_permissions_and_follows_links(tmp_path, noise):
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    mask = os.umask(0o022)
    try:
        save(tmp_path / "link.png", noise)
    finally:
        os.umask(mask)
    assert (tmp_path / "link.png").is_symlink()
    assert stat.S_IMODE((tmp_path / "real.png").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("rgb", "alpha", "words"),
    [
        (np.zeros((4, 4)), None, r"rgb has shape \(4, 4\)"),
        (np.full((4, 4, 3), np.nan), None, "rgb holds NaN"),
        (np.zeros((4, 4, 3)), np.zeros((4, 5)), r"alpha has shape \(4, 5\); expected \(4, 4\)"),
    ],
)
def test_wrong_results_are_refused(tmp_path, rgb, alpha, words):
    with pytest.raises(ValueError, match=words):
        save(tmp_path / "out.png", rgb, alpha=alpha)
    assert not list(tmp_path.iterdir())


def test_picture_too_large_for_its_format_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match=r"out\.webp"):
        save(tmp_path / "out.webp", np.zeros((1, 16_384, 3), np.uint8))
    with pytest.raises(OutputError, match="16383 pixels a side; the result has 20000"):
        check_output(tmp_path / "out.webp", shape=(100, 20_000))


def test_check_output_accepts_and_leaves_no_trace(tmp_path):
    for name in ("a.png", "a.JPG", "a.jpeg", "a.webp", "a.tif", "a.tiff"):
        assert check_output(str(tmp_path / name), shape=(9000, 9000)) == tmp_path / name
    assert not list(tmp_path.iterdir())


def test_check_output_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check_output("a.png") == Path("a.png")


@pytest.mark.parametrize(("name", "words"), [("a.gfi", r"extension \.gfi; .*\.png"), ("a", r"\(none\)")])
def test_check_output_unknown_extension(tmp_path, name, words):
    with pytest.raises(OutputError, match=words):
        check_output(tmp_path / name)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("folder/photo.png", "photo.png"),
        (Path("photo.png"), "photo.png"),
        (np.zeros((20, 30), np.uint8), "a picture of 30x20 px"),
        (Image.new("RGB", (30, 20)), "a picture of 30x20 px"),
        (Picture(np.zeros((20, 30, 3), np.float32)), "a picture of 30x20 px"),
        (Picture(np.zeros((20, 30, 3), np.float32), name="my painting"), "my painting"),
    ],
)
def test_what_pictures_are_called(source, name):
    assert name_of(source) == name


def test_check_output_existing_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"a\.png exists"):
        check_output(tmp_path / "a.png")
    check_output(tmp_path / "a.png", overwrite=True)
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_check_output_folders(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"folder .*missing does not exist"):
        check_output(tmp_path / "missing" / "a.png")
    (tmp_path / "folder.png").mkdir()
    for folder in (tmp_path / "folder.png", tmp_path):
        with pytest.raises(OutputError, match="is a folder"):
            check_output(folder, overwrite=True)

    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputError, match="cannot be written to: Permission denied"):
        check_output(tmp_path / "a.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_check_output_read_only_folder(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="cannot be written to"):
        check_output(tmp_path / "a.png")
