"""Reading weight files of each format, and saying what a file is that is none."""

import gzip
import io
import json
import pickle
import zipfile
from typing import ClassVar

import numpy as np
import pytest

from fastconv.weights import (
    VGGWeights,
    WrongFileError,
    converted,
    keras,
    load,
    load_file,
    matconvnet,
    quantized,
)
from fastconv.weights.formats import Kind, identify
from fastconv.weights.model import KERNEL_SHAPES, check_layers

from .. import weight_files


def assert_same(layers, expected):
    assert list(layers) == list(expected)
    for name, (weight, bias) in layers.items():
        assert weight.dtype == bias.dtype == np.float32
        assert weight.flags.c_contiguous
        assert bias.flags.c_contiguous
        np.testing.assert_array_equal(weight, expected[name][0], err_msg=name)
        np.testing.assert_array_equal(bias, expected[name][1], err_msg=name)


class TestNetwork:
    def test_shapes_are_those_of_the_paper(self):
        assert len(KERNEL_SHAPES) == 16
        assert sum(np.prod(shape) + shape[0] for shape in KERNEL_SHAPES.values()) == 20_024_384
        assert KERNEL_SHAPES["conv1_1"] == (64, 3, 3, 3)
        assert KERNEL_SHAPES["conv4_1"] == (512, 256, 3, 3)

    def test_partial_network(self, small_network, tmp_path):
        del small_network["conv3_2"], small_network["conv5_4"]
        with pytest.raises(WrongFileError, match=r"14 of its 16 convolutions are there; missing: conv3_2, conv5_4"):
            check_layers(small_network, tmp_path)

    def test_wrong_shape(self, small_network, tmp_path):
        weight, bias = small_network["conv2_1"]
        small_network["conv2_1"] = (weight[:, :1], bias)
        with pytest.raises(WrongFileError, match=r"conv2_1 has a kernel of shape \(4, 1, 3, 3\)"):
            check_layers(small_network, tmp_path)

    @pytest.mark.parametrize("value", [np.nan, -np.inf])
    def test_not_finite(self, small_network, tmp_path, value):
        small_network["conv5_1"][0].flat[-1] = value
        with pytest.raises(WrongFileError, match="conv5_1 holds NaN or infinity"):
            check_layers(small_network, tmp_path)


class TestMatConvNet:
    @pytest.mark.parametrize("generation", ["old", "new"])
    def test_real_shapes_to_the_last_bit(self, full_layers, tidy, generation):
        path = tidy / "network.mat"
        weight_files.write_matconvnet(path, full_layers, generation)
        layers = check_layers(matconvnet.read(path), path)
        path.unlink()  # 80 MB
        assert_same(layers, full_layers)

    @pytest.mark.parametrize("generation", ["old", "new"])
    def test_mean_of_another_order_is_refused(self, small_network, tmp_path, generation):
        path = tmp_path / "network.mat"
        weight_files.write_matconvnet(path, small_network, generation, mean=(103.939, 116.779, 123.68))
        with pytest.raises(WrongFileError, match=r"the mean of R, G, B is \[103.939, 116.779, 123.68"):
            matconvnet.read(path)

    def test_another_matlab_file(self, tmp_path):
        from scipy.io import savemat

        path = tmp_path / "other.mat"
        savemat(path, {"x": np.zeros(3)})
        with pytest.raises(WrongFileError, match="without 'layers'"):
            matconvnet.read(path)

    @pytest.mark.usefixtures("isolated")
    @pytest.mark.parametrize("generation", ["old", "new"])
    @pytest.mark.parametrize("fraction", [0.001, 0.3, 0.99])
    def test_truncated(self, small_network, tmp_path, generation, fraction):
        path = tmp_path / "imagenet-vgg-verydeep-19.mat"
        weight_files.write_matconvnet(path, small_network, generation)
        cut_to(path, fraction)
        with pytest.raises(WrongFileError, match=r"truncated: .* of 534,904,783 bytes"):
            load(path)


class TestKeras:
    @pytest.mark.parametrize("nested", [False, True])
    def test_numbers_and_channel_order(self, small_network, tmp_path, nested):
        path = tmp_path / "network.h5"
        weight_files.write_keras(path, small_network, nested=nested)
        assert_same(check_layers(keras.read(path), path), small_network)

    @pytest.mark.usefixtures("isolated")
    @pytest.mark.parametrize("fraction", [0.1, 0.6])
    def test_truncated(self, small_network, tmp_path, fraction):
        path = tmp_path / "network.h5"
        weight_files.write_keras(path, small_network)
        cut_to(path, fraction)
        with pytest.raises(WrongFileError, match="truncated or damaged"):
            load(path)


class TestQuantized:
    def test_numbers_and_channel_order(self, small_network, tmp_path):
        path = tmp_path / "network.bin"
        weight_files.write_quantized(path, small_network)
        assert_same(check_layers(quantized.read(path), path), small_network)

    def test_what_pytorch_writes(self, tmp_path):
        torch = pytest.importorskip("torch")
        rng = np.random.default_rng(0)
        tensors = {
            "a": rng.integers(256, size=(2, 3, 4), dtype=np.uint8),
            "b": rng.random(5, dtype=np.float32),
        }
        path = tmp_path / "tensors.pt"
        saved = {name: torch.from_numpy(array) for name, array in tensors.items()}
        torch.save(saved, path, _use_new_zipfile_serialization=False)
        read = quantized.read_tensors(path)
        assert list(read) == list(tensors)
        for name, array in tensors.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)

    @pytest.mark.usefixtures("isolated")
    @pytest.mark.parametrize("fraction", [0.001, 0.02, 0.5, 0.9999])
    def test_truncated(self, small_network, tmp_path, fraction):
        path = tmp_path / "network.bin"
        weight_files.write_quantized(path, small_network)
        cut_to(path, fraction)
        with pytest.raises(WrongFileError, match=r"truncated|damaged"):
            load(path)

    def test_table_of_another_length(self, tmp_path):
        path = tmp_path / "network.bin"
        tensors = {"W_q": np.zeros((2, 3, 3, 3), np.uint8), "W_table": np.zeros(16, np.float32)}
        tensors = {f"block1_conv1_{part}": array for part, array in tensors.items()}
        path.write_bytes(weight_files.torch_stream(tensors | {"block1_conv1_b": np.zeros(2, np.float32)}))
        with pytest.raises(WrongFileError, match=r"conv1_1 has uint8 indices into a table of shape \(16,\)"):
            quantized.read(path)


class TestHostilePickles:
    """A weight file may come from anywhere; none may run code, allocate at will, or fail in another way."""

    TENSORS: ClassVar = {"x": np.arange(6, dtype=np.uint8).reshape(2, 3)}

    def refuse(self, tmp_path, stream, match):
        path = tmp_path / "hostile.bin"
        path.write_bytes(stream)
        with pytest.raises(WrongFileError, match=match):
            quantized.read_tensors(path)

    def test_the_plain_stream_is_read(self, tmp_path):
        path = tmp_path / "plain.bin"
        path.write_bytes(weight_files.torch_stream(self.TENSORS))
        np.testing.assert_array_equal(quantized.read_tensors(path)["x"], self.TENSORS["x"])

    @pytest.mark.parametrize("protocol", range(6))
    def test_pickled_calls(self, tmp_path, protocol):
        canary = tmp_path / "canary"
        call = pickle.dumps(Call(open, (str(canary), "w")), protocol=protocol)
        plain = weight_files.torch_stream(self.TENSORS)
        system = plain.index(b"\x80\x02}")  # the third of the pickles
        self.refuse(tmp_path, plain[:system] + call + plain[system:], "not allowed")
        assert not canary.exists()

    @pytest.mark.parametrize(
        ("extra", "match"),
        [
            (b"cposix\nsystem\n(X\x04\x00\x00\x00truetR0", "not allowed"),
            (b"cposix\nsystem\n", "posix.system is not allowed"),
            (b"cbuiltins\neval\n", "builtins.eval is not allowed"),
            (b"c__builtin__\neval\n", "__builtin__.eval is not allowed"),
            (b"ctorch\nload\n", "torch.load is not allowed"),
            (b"ctorch._utils\n_rebuild_tensor\n", "is not allowed"),
            (b"ccollections\nOrderedDict.fromkeys\n", "is not allowed"),
            (b"X\x01\x00\x00\x00aX\x01\x00\x00\x00b\x93", "opcode STACK_GLOBAL is not allowed"),
            (b"(X\x04\x00\x00\x00trueiposix\nsystem\n", "opcode INST is not allowed"),
            (b"(ctorch\nByteStorage\no", "opcode OBJ is not allowed"),
            (b"ctorch\nByteStorage\n)\x81", "opcode NEWOBJ is not allowed"),
            (b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00a)sb", "opcode BUILD is not allowed"),
            (b"\x82\x01", "opcode EXT1 is not allowed"),
            (b"Pkey\n", "opcode PERSID is not allowed"),
            (b"r\xff\xff\xff\x7f", "memo index"),
            (b"ctorch\nByteStorage\n)R", "damaged"),
            (b"ccollections\nOrderedDict\n(K\x01tR", "damaged"),
            (b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))\x89NtR", "does not fill its storage"),
            (b"K\x01Q", "damaged"),
            (b"}", "something else than a dictionary|does not match"),
            (b"](X\x01\x00\x00\x00ae", "something else than a dictionary"),
            (b"X\xff\xff\xff\x7fa", "damaged"),
        ],
    )
    def test_opcodes(self, tmp_path, extra, match):
        self.refuse(tmp_path, weight_files.torch_stream(self.TENSORS, extra=extra), match)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            pytest.param(b"J\x06\x00\x00\x00NtQ", b"J\x07\x00\x00\x00NtQ", id="storage longer than the tensor"),
            pytest.param(b"NtQ", b"K\x01tQ", id="view of a storage"),
            pytest.param(b"QJ\x00\x00\x00\x00", b"QJ\x01\x00\x00\x00", id="offset"),
            pytest.param(b"(J\x03\x00\x00\x00J\x01", b"(J\x00\x00\x00\x00J\x01", id="stride"),
            pytest.param(b"(J\x02\x00\x00\x00J\x03", b"(J\xfe\xff\xff\xffJ\xfd", id="negative shape"),
            pytest.param(b"ByteStorage", b"FloatStorage", id="type longer than the numbers"),
            pytest.param(b"X\x07\x00\x00\x00storage", b"X\x06\x00\x00\x00module", id="not a storage"),
        ],
    )
    def test_tensors_that_are_not_whole(self, tmp_path, old, new):
        stream = weight_files.torch_stream(self.TENSORS)
        assert stream.count(old) == 1
        self.refuse(tmp_path, stream.replace(old, new), "damaged|truncated")

    def test_two_meanings_of_a_storage(self, tmp_path):
        tensors = {"x": np.zeros(8, np.uint8), "y": np.zeros(2, np.float32)}
        stream = weight_files.torch_stream(tensors)
        same_key = stream.replace(b"X\x01\x00\x00\x001", b"X\x01\x00\x00\x000")
        self.refuse(tmp_path, same_key, "does not match its tensors")

    def test_count_beyond_the_file(self, tmp_path):
        huge = (1 << 30).to_bytes(4, "little")
        stream = weight_files.torch_stream({"x": np.zeros(7, np.uint8)})
        stream = stream.replace(b"J\x07\x00\x00\x00", b"J" + huge)
        self.refuse(tmp_path, stream, "truncated")

    @pytest.mark.parametrize("options", [{"little_endian": False}, {"protocol": 1002}])
    def test_other_machines_and_protocols(self, tmp_path, options):
        self.refuse(tmp_path, weight_files.torch_stream(self.TENSORS, **options), "expected 1001, little-endian")

    def test_every_single_byte_changed(self, tmp_path):
        """Whatever one wrong byte does, it gives tensors or the one error."""
        stream = weight_files.torch_stream(self.TENSORS)
        path = tmp_path / "changed.bin"
        for position in range(len(stream)):
            path.write_bytes(stream[:position] + bytes([stream[position] ^ 0x41]) + stream[position + 1 :])
            try:
                read = quantized.read_tensors(path)
            except WrongFileError:
                continue
            assert all(isinstance(array, np.ndarray) for array in read.values())


class Call:
    def __init__(self, function, arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class TestConverted:
    def weights(self, layers, path):
        return VGGWeights(layers, source="vgg19", sha256="ab" * 32, path=path, exact=True)

    def test_round_trip(self, small_network, tmp_path):
        path = tmp_path / "network.npz"
        weights = self.weights(small_network, path)
        converted.write(weights, path)
        read = converted.read(path)
        assert (read.source, read.sha256, read.path, read.exact) == ("vgg19", "ab" * 32, path, True)
        assert_same(read.layers, small_network)
        assert [file.name for file in tmp_path.iterdir()] == ["network.npz"]

    @pytest.mark.parametrize("fraction", [0.1, 0.9])
    def test_truncated(self, small_network, tmp_path, fraction):
        path = tmp_path / "network.npz"
        converted.write(self.weights(small_network, path), path)
        cut_to(path, fraction)
        with pytest.raises(WrongFileError, match="damaged"):
            load_file(path)

    def test_one_wrong_byte(self, small_network, tmp_path):
        path = tmp_path / "network.npz"
        converted.write(self.weights(small_network, path), path)
        content = bytearray(path.read_bytes())
        content[content.index(small_network["conv4_2"][0].tobytes()) + 5] ^= 1
        path.write_bytes(content)
        with pytest.raises(WrongFileError, match="damaged"):
            converted.read(path)

    def test_another_version(self, tmp_path):
        path = tmp_path / "network.npz"
        np.savez(path, fastconv=np.array(json.dumps({"version": 2})))
        with pytest.raises(WrongFileError, match="version 2 of the format, expected 1"):
            converted.read(path)

    def test_objects_are_not_unpickled(self, tmp_path):
        canary = tmp_path / "canary"
        path = tmp_path / "network.npz"
        np.savez(path, fastconv=np.array(Call(open, (str(canary), "w")), dtype=object))
        with pytest.raises(WrongFileError, match="damaged"):
            converted.read(path)
        assert not canary.exists()


def zip_of(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "an empty file"),
        (b"\n <!DOCTYPE html>\n<p>moved</p>", "an HTML page"),
        (b"\xef\xbb\xbf<html lang='en'>", "an HTML page"),
        (b"<?xml version='1.0'?><!-- --><html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (gzip.compress(b"x"), "a gzip archive"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64", "a MATLAB 7.3 file"),
        (zip_of("archive/data.pkl", "archive/data/0"), "a PyTorch checkpoint"),
        (zip_of("a", "b", "c", "d"), r"a zip archive without VGG-19 weights; it holds a, b, c, \.\.\."),
        (zip_of("a")[:-5], "truncated or damaged"),
        (b"GIF89a", r"unknown kind, which begins with b'GIF89a'"),
    ],
)
def test_what_a_file_is_instead(tmp_path, content, match):
    path = tmp_path / "imagenet-vgg-verydeep-19.mat"
    path.write_bytes(content)
    with pytest.raises(WrongFileError, match=match) as info:
        identify(path)
    assert str(path) in str(info.value)


def test_the_kind_is_read_from_the_content(small_network, tmp_path):
    path = tmp_path / "misnamed.h5"
    weight_files.write_matconvnet(path, small_network)
    assert identify(path) is Kind.MATLAB


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_cannot_be_opened(tmp_path, name):
    with pytest.raises(WrongFileError, match="cannot be read"):
        identify(tmp_path / name)


def cut_to(path, fraction):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
