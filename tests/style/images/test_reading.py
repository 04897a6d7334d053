"""Pictures of every kind come in as sRGB from 0 to 255."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from fastconv.style.images import ImageError, ImageWarning, load, reading


def stored(tmp_path, image, name="in.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


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


def test_postscript_is_not_run(tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    for name in ("gs", "gswin32c.exe", "gswin64c.exe"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho >'{ran}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # what Pillow found before
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png", "EPS")  # the kind is read from the content
    with pytest.raises(ImageError, match=r"picture\.png is a PostScript picture; save it as PNG"):
        load(tmp_path / "picture.png")
    assert not ran.exists()
