"""A painting out of nothing: a low sun over hills, a lake and a ploughed field; the demo's style picture.

The scene gives each point a colour and a stream function. Strokes run along the lines on which the stream
function is constant, as smoke does in curl noise (Bridson, Hourihan and Nordenstam, 2007), and are laid on
from a broad brush to a fine one, as in painterly rendering (Hertzmann, 1998). Every stroke carries two
colours in its bristles and leaves a relief, which is lit from the upper left in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fastconv.style.images import resize

__all__ = ["paint"]

PALETTE = {
    "night": (14, 26, 74),
    "ultramarine": (31, 63, 166),
    "cobalt": (63, 127, 208),
    "sky": (156, 201, 226),
    "cream": (253, 240, 192),
    "yellow": (251, 201, 46),
    "orange": (240, 129, 29),
    "vermilion": (207, 58, 30),
    "ochre": (201, 138, 36),
    "umber": (59, 36, 24),
    "viridian": (23, 96, 79),
    "leaf": (127, 154, 46),
    "plum": (76, 37, 96),
}
WATER = ("night", "ultramarine", "cobalt", "sky")

# All lengths are parts of the picture's height: y runs from 0 at the top to 1, x is 0.5 in the middle.
SUN_X, SUN_Y, SUN_RADIUS = 0.64, 0.29, 0.07
SHORE = 0.62
VORTICES = ((0.20, 0.20, 0.10, 0.20), (0.95, 0.10, 0.07, -0.10))  # x, y, radius, strength

OVERSAMPLING = 2  # strokes have hard edges; they are painted larger and averaged


@dataclass(frozen=True)
class Brush:
    """One pass over the canvas: the size of its strokes, and how often they cover an average point."""

    length: float
    width: float
    coverage: float


BRUSHES = (
    Brush(0.180, 0.0450, 4.0),
    Brush(0.120, 0.0280, 2.5),
    Brush(0.085, 0.0170, 1.8),
    Brush(0.055, 0.0105, 0.8),
)

Layer: TypeAlias = "tuple[np.ndarray, np.ndarray]"  # colour (H, W, 3) and stream function (H, W)


def paint(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Paint a landscape.

    Parameters
    ----------
    height, width : int
        Size in pixels, at least 16 each. The height spans the whole scene, the width more or less of it.
    seed : int
        The same seed gives the same painting; another gives other clouds, waves and strokes.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        sRGB values.

    Raises
    ------
    ValueError
        If a side is shorter than 16 pixels.
    """
    if min(height, width) < 16:
        raise ValueError(f"height and width are {height} and {width}; expected at least 16 pixels each")
    rng = np.random.default_rng(seed)
    rows, columns = OVERSAMPLING * height, OVERSAMPLING * width
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) / rows
    colour, stream = _scene(x + 0.5 * (1 - columns / rows), y, rng)
    slope_y, slope_x = np.gradient(stream)
    angle = np.arctan2(-slope_x, slope_y)

    canvas = 0.7 * colour
    relief = np.zeros((rows, columns), np.float32)
    for brush in BRUSHES:
        _lay_on(canvas, relief, colour, angle, brush, rng)
    picture = resize(_lit(canvas, relief), (height, width), method="area")
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)


# --- the scene --------------------------------------------------------------------------------------------


def _scene(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Layer:
    far_ridge = 0.50 - 0.055 * np.sin(6.9 * x + 0.4) - 0.033 * np.sin(17 * x + 0.84)
    near_ridge = 0.59 - 0.035 * np.sin(6.9 * x + 2.6) - 0.021 * np.sin(17 * x + 5.46)
    bank = 0.80 + 0.10 * np.sin(3.46 * x + 0.75)
    colour, stream = _sky(x, y, rng)
    for top, (layer_colour, layer_stream) in (
        (far_ridge, _hills(x, y, far_ridge, ("plum", "night", "plum", "cobalt"), rng)),
        (near_ridge, _hills(x, y, near_ridge, ("leaf", "viridian", "night"), rng)),
        (SHORE, _lake(x, y, rng)),
        (bank, _field(x, y, bank, rng)),
    ):
        colour = np.where((y > top)[..., np.newaxis], layer_colour, colour)
        stream = np.where(y > top, layer_stream, stream)
    return colour.astype(np.float32), stream


def _sky(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Layer:
    stream = y + 0.03 * _waves(x, y, 0.5, rng)
    for centre_x, centre_y, radius, strength in VORTICES:
        stream += strength * np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * radius**2))
    distance = np.hypot(x - SUN_X, y - SUN_Y)
    near_sun = np.exp(-((distance / 0.21) ** 4))
    stream += near_sun * (distance - stream)

    bands = _stripes(stream, 0.1)
    colour = _ramp(WATER, 0.95 * bands * (0.7 + 0.5 * y))
    clouds = np.clip(3.2 * _stripes(stream + 0.032, 0.1) - 2, 0, 1) * np.exp(-(((y - 0.47) / 0.16) ** 2))
    colour = _mix(colour, _ramp(("vermilion", "orange", "yellow"), 1.3 * bands), clouds)
    rings = _stripes(distance - SUN_RADIUS + 0.0145, 0.058)
    halo = _ramp(("vermilion", "orange", "yellow", "cream"), 0.55 + 0.6 * rings - 3.6 * (distance - SUN_RADIUS))
    colour = _mix(colour, halo, 3 * np.exp(-((distance / 0.17) ** 4)) * (0.15 + 0.85 * rings))
    return _mix(colour, _ramp(("cream",), distance), (SUN_RADIUS - distance) / 0.01), stream


def _hills(
    x: np.ndarray, y: np.ndarray, ridge: np.ndarray, colours: tuple[str, ...], rng: np.random.Generator
) -> Layer:
    depth = y - ridge
    stream = depth + 0.012 * _waves(x, y, 0.25, rng)
    colour = _ramp(colours, 0.7 * _stripes(stream + 0.035 * x, 0.055) + 2.2 * depth)
    glow = np.exp(-((depth / 0.016) ** 2) - ((x - SUN_X) / 0.35) ** 2)
    return _mix(colour, _ramp(("vermilion",), depth), 0.9 * glow), stream


def _lake(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Layer:
    depth = np.maximum(y - SHORE, 0)
    stream = y + 0.006 * _waves(x, 2.5 * y, 0.2, rng)
    ripples = _stripes(stream + 0.009 * _waves(x, 4 * y, 0.3, rng), 0.036)
    colour = _ramp(WATER, 0.15 + 0.6 * ripples - 0.8 * depth)
    gleam = np.exp(-(((x - SUN_X - 0.02 * _waves(x, 6 * y, 0.3, rng)) / (0.05 + 0.5 * depth)) ** 2))
    gold = _ramp(("vermilion", "orange", "yellow", "cream"), 0.1 + ripples)
    return _mix(colour, gold, 1.5 * gleam * (0.25 + ripples) - 0.15), stream


def _field(x: np.ndarray, y: np.ndarray, bank: np.ndarray, rng: np.random.Generator) -> Layer:
    depth = y - bank
    furrow_direction = np.arctan2(x - 0.3, y - 0.55)  # they part from a vanishing point beyond the bank
    stream = 0.6 * furrow_direction + 0.02 * _waves(x, y, 0.3, rng)
    earth = ("umber", "vermilion", "orange", "ochre", "yellow")
    colour = _ramp(earth, 0.1 + 0.95 * _stripes(stream, 0.085) - 0.9 * depth)
    return _mix(colour, _ramp(("viridian",), depth), 1.3 * np.exp(-((depth / 0.018) ** 2))), stream


def _waves(x: np.ndarray, y: np.ndarray, wavelength: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of mean 0 and variance 1, of plane waves, so that every resolution sees the same."""
    count = 12
    total = np.zeros_like(x)
    for angle, phase in rng.uniform(0, 2 * np.pi, (count, 2)):
        frequency = 2 * np.pi / (wavelength * rng.uniform(0.7, 1.6))
        total += np.cos(frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return total / np.sqrt(count / 2)


def _stripes(stream: np.ndarray, spacing: float) -> np.ndarray:
    """Light and dark, from 1 to 0, along the lines of the stream."""
    return 0.5 + 0.5 * np.sin(2 * np.pi * stream / spacing)


def _ramp(names: tuple[str, ...], share: np.ndarray) -> np.ndarray:
    """Go from the first colour at 0 to the last at 1."""
    colours = np.array([PALETTE[name] for name in names], np.float32)
    stops = np.linspace(0, 1, len(names))
    return np.stack([np.interp(share, stops, colours[:, channel]) for channel in range(3)], axis=-1)


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + (second - first) * np.clip(share, 0, 1)[..., np.newaxis]


# --- the brushwork ----------------------------------------------------------------------------------------


def _stamps(rng: np.random.Generator, count: int = 12, length: int = 96, bristles: int = 24) -> np.ndarray:
    """Make prints of a brush, (count, length, bristles, 3): opacity, share of the second colour, relief."""
    along = np.linspace(-1, 1, length)[:, np.newaxis]
    across = np.linspace(-1, 1, bristles)
    each_bristle, each_point = (count, 1, bristles), (count, length, bristles)
    start = -1 + 0.12 * rng.random(each_bristle) + 0.15 * across**2
    end = 1 - 0.35 * rng.random(each_bristle) - 0.25 * across**2
    ends = np.clip(12 * (along - start), 0, 1) * np.clip(8 * (end - along), 0, 1)
    runs_dry = 0.7 * (rng.random(each_bristle) < 0.25) * np.clip(along + 0.4, 0, 1)
    opacity = ends * np.clip(6 * (1 - abs(across)), 0, 1) * (1 - runs_dry)
    opacity[:, [0, -1]] = opacity[:, :, [0, -1]] = 0  # the border stands for everything outside
    streaks = 0.8 * rng.random(each_bristle) + 0.2 * rng.random(each_point)
    edges = 0.7 + 0.5 * abs(across) ** 3  # paint is pushed aside, and heaped up where the brush is lifted
    lifted = 1 + 0.4 * np.exp(-(((along - 0.6) / 0.2) ** 2))
    return np.stack([opacity, streaks, (0.55 + 0.45 * streaks) * edges * lifted], axis=-1).astype(np.float32)


def _lay_on(
    canvas: np.ndarray,
    relief: np.ndarray,
    colour: np.ndarray,
    angle: np.ndarray,
    brush: Brush,
    rng: np.random.Generator,
) -> None:
    """Cover the canvas with strokes at random places, each in the colour of the scene at its middle."""
    rows, columns = relief.shape
    stamps = _stamps(rng)
    count = round(brush.coverage * columns / (brush.length * brush.width * rows))
    for middle_y, middle_x in rng.uniform((0, 0), (rows, columns), (count, 2)):
        length = brush.length * rows * rng.uniform(0.7, 1.25)
        width = brush.width * rows * rng.uniform(0.75, 1.2)
        first = colour[int(middle_y), int(middle_x)] + rng.normal(0, 7, 3)
        second = first * rng.uniform(0.72, 1.28) + rng.normal(0, 10, 3)
        window, along, across = _stroke(middle_y, middle_x, length, width, angle)
        print_of_brush = _sample(stamps[rng.integers(len(stamps))], along / length, across / width)
        opacity, streaks, height = np.moveaxis(print_of_brush, -1, 0)
        paint_there = first + (second - first) * streaks[..., np.newaxis]
        canvas[window] += opacity[..., np.newaxis] * (paint_there - canvas[window])
        relief[window] += opacity * (width * height - 0.65 * relief[window])


def _stroke(
    middle_y: float, middle_x: float, length: float, width: float, angle: np.ndarray
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Give the window that a stroke touches and each pixel's place along and across it.

    The stroke is a parabola that turns as the field does from its first to its last third.
    """
    rows, columns = angle.shape
    direction = angle[int(middle_y), int(middle_x)]
    cosine, sine = np.cos(direction), np.sin(direction)
    before, after = (
        angle[
            int(np.clip(middle_y + part * length * sine, 0, rows - 1)),
            int(np.clip(middle_x + part * length * cosine, 0, columns - 1)),
        ]
        for part in (-1 / 3, 1 / 3)
    )
    turn = (after - before + np.pi) % (2 * np.pi) - np.pi
    curvature = np.clip(turn, -1.2, 1.2) / (length * 2 / 3)
    thickness = width + abs(curvature) * length**2 / 8
    reach_y = 0.5 * abs(sine) * length + abs(cosine) * thickness + 1
    reach_x = 0.5 * abs(cosine) * length + abs(sine) * thickness + 1
    window = (
        slice(max(0, int(middle_y - reach_y)), min(rows, int(middle_y + reach_y) + 1)),
        slice(max(0, int(middle_x - reach_x)), min(columns, int(middle_x + reach_x) + 1)),
    )
    y, x = np.ogrid[window]
    along = (x - middle_x) * cosine + (y - middle_y) * sine
    across = (y - middle_y) * cosine - (x - middle_x) * sine - 0.5 * curvature * along**2
    return window, along, across


def _sample(stamp: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Look up the nearest point of a stamp that spans -0.5 to 0.5 both ways."""
    indices = (
        np.clip((place + 0.5) * (count - 1) + 0.5, 0, count - 1).astype(np.intp)
        for place, count in ((along, stamp.shape[0]), (across, stamp.shape[1]))
    )
    return stamp[tuple(indices)]


def _lit(canvas: np.ndarray, relief: np.ndarray) -> np.ndarray:
    """Shade the relief as by a lamp at the upper left, with a gleam on the steepest paint."""
    slope_y, slope_x = np.gradient(relief)
    towards_lamp = -0.7 * (slope_x + slope_y)
    towards_lamp /= 1 + abs(towards_lamp)
    shade = 1 + 0.22 * towards_lamp
    gleam = 40 * np.clip(towards_lamp - 0.3, 0, 1)
    return canvas * shade[..., np.newaxis] + gleam[..., np.newaxis]
