"""The layers that are timed: VGG-19's, those of other networks, and the original report's case."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A convolution or pooling layer and the images it runs on.

    Attributes
    ----------
    name : str
        For tables.
    n, c, h, w : int
        Images, channels, rows and columns of the input.
    k : int
        Output channels; of a pooling layer those of the input.
    kernel, stride, padding, dilation : (int, int)
        For rows and columns, as in PyTorch.
    groups : int
        Convolutions side by side.
    """

    name: str
    c: int
    k: int
    h: int
    w: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    n: int = 1

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return self.n, self.c, self.h, self.w

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(K, C/groups, R, S)."""
        return self.k, self.c // self.groups, *self.kernel

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(N, K, OH, OW)."""
        sizes = zip((self.h, self.w), self.kernel, self.stride, self.padding, self.dilation, strict=True)
        oh, ow = ((size + 2 * pad - gap * (taps - 1) - 1) // step + 1 for size, taps, step, pad, gap in sizes)
        return self.n, self.k, oh, ow

    @property
    def flops(self) -> int:
        """Floating-point operations of the direct method, a multiply-add counted as two; of any of the passes."""
        return 2 * math.prod(self.output_shape) * math.prod(self.weight_shape[1:])

    @property
    def pooling_bytes(self) -> int:
        """Bytes that a max pooling must move, forward or backward: float32 images and outputs, int64 indices."""
        return 4 * math.prod(self.input_shape) + 12 * math.prod(self.output_shape)

    @property
    def numbers(self) -> dict[str, Any]:
        """Keyword arguments that fastconv's and PyTorch's functions share."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    def tiny(self) -> Layer:
        """Return the layer with an eighth of its channels and of its plane, for runs that only show that code works."""
        groups = min(self.groups, 2)
        c, k = (groups * max(size // (8 * groups), 1) for size in (self.c, self.k))
        smallest = max(gap * (taps - 1) + 1 for taps, gap in zip(self.kernel, self.dilation, strict=True))
        h, w = (max(size // 8, smallest) for size in (self.h, self.w))
        return replace(self, n=min(self.n, 2), c=c, k=k, h=h, w=w, groups=groups)


def _layer(name: str, c: int, k: int, size: int, kernel: int | tuple[int, int] = 3, **more: int) -> Layer:
    """Return a layer on a square plane that is padded by half the kernel, unless `more` says otherwise."""
    taps = (kernel, kernel) if isinstance(kernel, int) else kernel
    pairs = {key: (value, value) if key != "groups" else value for key, value in more.items()}
    values: dict[str, Any] = {"padding": (taps[0] // 2, taps[1] // 2), **pairs}
    return Layer(name, c, k, size, size, taps, **values)


_VGG19 = (
    ("conv1_1", 3, 64, 1),
    ("conv1_2", 64, 64, 1),
    ("conv2_1", 64, 128, 2),
    ("conv2_2", 128, 128, 2),
    ("conv3_1", 128, 256, 4),
    ("conv3_2", 256, 256, 4),
    ("conv4_1", 256, 512, 8),
    ("conv4_2", 512, 512, 8),
    ("conv5_1", 512, 512, 16),
)


def vgg19(size: int, n: int = 1) -> dict[str, Layer]:
    """Return VGG-19's convolutions on pictures of `size` pixels; those of a block that look alike stand once.

    Source: Simonyan and Zisserman, arXiv:1409.1556, table 1, column E.
    """
    return {name: Layer(name, c, k, size // part, size // part, n=n) for name, c, k, part in _VGG19}


def vgg19_first() -> list[Layer]:
    """Return VGG-19's first convolution on small and large pictures."""
    return [replace(vgg19(size)["conv1_1"], name=f"conv1_1 {size} px") for size in (224, 512)]


def vgg19_heavy(size: int, n: int = 1) -> list[Layer]:
    """Return all of :func:`vgg19` but the first layer, which is bound by memory."""
    return [layer for name, layer in vgg19(size, n).items() if name != "conv1_1"]


REPORT_CONV = Layer("report", 256, 512, 24, 40)
REPORT_POOL = Layer("report", 256, 256, 24, 40, kernel=(2, 2), stride=(2, 2), padding=(0, 0))
SMALL = Layer("small", 8, 8, 16, 16)

NETWORKS = [
    # He et al., arXiv:1512.03385, table 1 (with the stride in the 3x3, as usual today)
    _layer("ResNet-50 7x7/2", 3, 64, 224, 7, stride=2),
    _layer("ResNet-50 1x1 64>256", 64, 256, 56, 1),
    _layer("ResNet-50 3x3 64", 64, 64, 56),
    _layer("ResNet-50 3x3/2 128", 128, 128, 56, stride=2),
    _layer("ResNet-50 1x1/2 256>512", 256, 512, 56, 1, stride=2),
    _layer("ResNet-50 3x3 128", 128, 128, 28),
    _layer("ResNet-50 1x1 1024>256", 1024, 256, 14, 1),
    _layer("ResNet-50 3x3 256", 256, 256, 14),
    _layer("ResNet-50 3x3 512", 512, 512, 7),
    _layer("ResNet-50 1x1 512>2048", 512, 2048, 7, 1),
    # Sandler et al., arXiv:1801.04381, table 2
    _layer("MobileNet-v2 3x3/2 3>32", 3, 32, 224, stride=2),
    _layer("MobileNet-v2 depthwise 32", 32, 32, 112, groups=32),
    _layer("MobileNet-v2 1x1 16>96", 16, 96, 112, 1),
    _layer("MobileNet-v2 depthwise/2 96", 96, 96, 112, stride=2, groups=96),
    _layer("MobileNet-v2 1x1 144>24", 144, 24, 56, 1),
    _layer("MobileNet-v2 depthwise 192", 192, 192, 28, groups=192),
    _layer("MobileNet-v2 1x1 384>64", 384, 64, 14, 1),
    _layer("MobileNet-v2 depthwise/2 576", 576, 576, 14, stride=2, groups=576),
    _layer("MobileNet-v2 depthwise 960", 960, 960, 7, groups=960),
    _layer("MobileNet-v2 1x1 320>1280", 320, 1280, 7, 1),
    # Xie et al., arXiv:1611.05431, table 1 (32x4d)
    _layer("ResNeXt-50 3x3 128, 32 groups", 128, 128, 56, groups=32),
    _layer("ResNeXt-50 3x3/2 256, 32 groups", 256, 256, 56, stride=2, groups=32),
    _layer("ResNeXt-50 3x3 512, 32 groups", 512, 512, 14, groups=32),
    _layer("ResNeXt-50 3x3 1024, 32 groups", 1024, 1024, 7, groups=32),
    # Krizhevsky, arXiv:1404.5997, the one-tower AlexNet
    _layer("AlexNet 11x11/4", 3, 64, 224, 11, stride=4, padding=2),
    _layer("AlexNet 5x5", 64, 192, 27, 5),
    _layer("AlexNet 3x3 192>384", 192, 384, 13),
    # Szegedy et al., arXiv:1512.00567, table 1 and figures 5 to 7
    _layer("Inception-v3 3x3/2 3>32", 3, 32, 299, stride=2, padding=0),
    _layer("Inception-v3 3x3 32>64", 32, 64, 147),
    _layer("Inception-v3 3x3 80>192", 80, 192, 73, padding=0),
    _layer("Inception-v3 5x5 48>64", 48, 64, 35, 5),
    _layer("Inception-v3 3x3/2 96", 96, 96, 35, stride=2, padding=0),
    _layer("Inception-v3 1x7 160", 160, 160, 17, (1, 7)),
    _layer("Inception-v3 7x1 192", 192, 192, 17, (7, 1)),
    _layer("Inception-v3 1x3 384", 384, 384, 8, (1, 3)),
    # Chen et al., arXiv:1706.05587: the dilated last blocks of a ResNet, and the pyramid after it
    _layer("dilated by 2, 3x3 256", 256, 256, 28, padding=2, dilation=2),
    _layer("dilated by 4, 3x3 512", 512, 512, 28, padding=4, dilation=4),
    _layer("dilated by 6, 3x3 2048>256", 2048, 256, 28, padding=6, dilation=6),
]


def _pool(name: str, c: int, size: int, kernel: int, padding: int) -> Layer:
    return _layer(name, c, c, size, kernel, stride=2, padding=padding)


POOLS = [
    _pool("VGG-19 2x2/2 64x224", 64, 224, 2, 0),
    _pool("VGG-19 2x2/2 128x112", 128, 112, 2, 0),
    _pool("VGG-19 2x2/2 256x56", 256, 56, 2, 0),
    _pool("VGG-19 2x2/2 512x28", 512, 28, 2, 0),
    _pool("ResNet-50 3x3/2 64x112", 64, 112, 3, 1),
    _pool("AlexNet 3x3/2 192x27", 192, 27, 3, 0),
    _pool("Inception-v3 3x3/2 64x147", 64, 147, 3, 0),
]
