"""Random numbers in VGG-19's shapes, and files of them as their publishers write them."""

import numpy as np

from fastconv.weights.model import KERNEL_SHAPES

MEAN_RGB = (123.68, 116.779, 103.939)


def random_layers(seed=0):
    """Return seeded numbers for every layer, no more than 256 different ones in a kernel."""
    rng = np.random.default_rng(seed)
    layers = {}
    for name, shape in KERNEL_SHAPES.items():
        table = rng.standard_normal(256, dtype=np.float32)
        bias = rng.standard_normal(shape[0], dtype=np.float32)
        layers[name] = (table[rng.integers(256, size=shape, dtype=np.uint8)], bias)
    return layers


def write_matconvnet(path, layers, generation="new", mean=MEAN_RGB):
    """Write `layers` as MatConvNet does: all 43 cells, the fully connected layers as 1x1 stubs.

    Generation "old" is that of beta16, with its own order of fields and a mean image; "new" is what followed.
    """
    from scipy.io import savemat

    cells = [_cell(kind, name, layers, generation) for kind, name in _vgg19_cells()]
    content = {"layers": _row_of_cells(cells)}
    classes = _struct(name=_row_of_cells(["n01440764"]), description=_row_of_cells(["tench"]))
    if generation == "old":
        image = np.broadcast_to(np.float32(mean), (224, 224, 3))
        content["classes"] = classes
        content["normalization"] = _struct(averageImage=image, keepAspect=True, imageSize=[[224.0, 224.0, 3.0]])
    else:
        normalization = _struct(
            imageSize=[[224.0, 224.0, 3.0, 10.0]], interpolation="bicubic", averageImage=np.float32([[mean]])
        )
        content["meta"] = _struct(inputs=_struct(name="data"), classes=classes, normalization=normalization)
    savemat(path, content)


def _vgg19_cells():
    for block, count in enumerate((2, 2, 4, 4, 4), start=1):
        for number in range(1, count + 1):
            yield "conv", f"conv{block}_{number}"
            yield "relu", f"relu{block}_{number}"
        yield "pool", f"pool{block}"
    yield from (("conv", "fc6"), ("relu", "relu6"), ("conv", "fc7"), ("relu", "relu7"), ("conv", "fc8"))
    yield "softmax", "prob"


def _cell(kind, name, layers, generation):
    if kind == "conv":
        weight, bias = layers.get(name, (np.zeros((1, 1, 1, 1), np.float32), np.zeros(1, np.float32)))
        weights = _row_of_cells([weight.transpose(2, 3, 1, 0), bias[:, None] if generation == "new" else bias[None]])
        pad, stride = [[1.0] * 4], [[1.0, 1.0]]
        if generation == "old":
            return _struct(weights=weights, pad=pad, type=kind, name=name, stride=stride)
        size = [list(map(float, weight.transpose(2, 3, 1, 0).shape))]
        return _struct(name=name, type=kind, weights=weights, size=size, pad=pad, stride=stride, precious=0.0)
    extra = {"method": "max", "pool": [[2.0, 2.0]], "stride": [[2.0, 2.0]], "pad": [[0.0, 1.0, 0.0, 1.0]]}
    fields = {"name": name, "type": kind, **(extra if kind == "pool" else {})}
    return _struct(**(dict(reversed(fields.items())) if generation == "old" else fields))


def _struct(**fields):
    struct = np.empty((1, 1), dtype=[(name, object) for name in fields])
    for name, value in fields.items():
        struct[name][0, 0] = value
    return struct


def _row_of_cells(items):
    row = np.empty((1, len(items)), dtype=object)
    for index, item in enumerate(items):
        row[0, index] = item
    return row


def write_keras(path, layers, *, nested=False):
    """Write `layers` (R, G, B) as Keras 1 did, or in the nested groups of its later versions."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_group("input_1")
        for name, (weight, bias) in layers.items():
            layer = name.replace("conv", "block").replace("_", "_conv")
            group = file.create_group(layer)
            kernel = (weight[:, ::-1] if name == "conv1_1" else weight).transpose(2, 3, 1, 0)
            names = (f"{layer}/kernel:0", f"{layer}/bias:0") if nested else (f"{layer}_W_1:0", f"{layer}_b_1:0")
            group.create_dataset(names[0], data=kernel)
            group.create_dataset(names[1], data=bias)
        file.create_group("block5_pool")


def write_quantized(path, layers):
    """Write `layers` (R, G, B), whose kernels hold at most 256 different values, as indices into tables."""
    tensors = {}
    for name, (weight, bias) in layers.items():
        layer = name.replace("conv", "block").replace("_", "_conv")
        kernel = weight[:, ::-1] if name == "conv1_1" else weight
        values, indices = np.unique(kernel, return_inverse=True)
        table = np.zeros(256, np.float32)
        table[: values.size] = values
        tensors[f"{layer}_W_q"] = indices.reshape(kernel.shape).astype(np.uint8)
        tensors[f"{layer}_W_table"] = table
        tensors[f"{layer}_b"] = bias
    path.write_bytes(torch_stream(tensors))


def torch_stream(tensors, *, extra=b"", little_endian=True, protocol=1001):
    """Return `tensors` in PyTorch's old serialisation, opcode by opcode; `extra` ends its pickle."""
    magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e"
    system = b"\x80\x02}" + _text("little_endian") + (b"\x88" if little_endian else b"\x89") + b"s."
    items = b"".join(_text(name) + _tensor(str(key), array) for key, (name, array) in enumerate(tensors.items()))
    keys = b"".join(_text(str(key)) for key in range(len(tensors)))
    pickles = magic + b"\x80\x02" + _number(protocol) + b"." + system
    pickles += b"\x80\x02}(" + items + b"u" + extra + b"." + b"\x80\x02](" + keys + b"e."
    return pickles + b"".join(array.size.to_bytes(8, "little") + array.tobytes() for array in tensors.values())


def _tensor(key, array):
    kind = {"uint8": b"ByteStorage", "float32": b"FloatStorage"}[array.dtype.name]
    storage = b"(" + _text("storage") + b"ctorch\n" + kind + b"\n" + _text(key) + _text("cpu")
    storage += _number(array.size) + b"NtQ"
    stride = [step // array.itemsize for step in np.empty(array.shape, array.dtype).strides]
    shapes = b"".join(b"(" + b"".join(map(_number, sizes)) + b"t" for sizes in (array.shape, stride))
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _number(0) + shapes + b"\x89" + hooks + b"tR"


def _text(text):
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


def _number(number):
    return b"J" + number.to_bytes(4, "little", signed=True)
