"""Pictures go out whole or not at all."""

import json
import os
import stat
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from fastconv.style.files import OutputError
from fastconv.style.images import ImageWarning, check_output, load, save

from ..helpers import traced


def mean_difference(a, b):
    return np.abs(a.astype(float) - b).mean()


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
    with pytest.raises(OutputError, match="JPEG holds at most 65500 pixels a side; the result has 65501"):
        check_output(tmp_path / "out.jpg", shape=(65_501, 100))


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


def test_a_picture_of_whole_numbers_is_written_without_large_copies(tmp_path):
    pixels = np.zeros((600, 500, 3), np.uint8)
    with traced() as peak:
        save(tmp_path / "out.png", pixels)
    assert peak[0] < 35 * 600 * 500
