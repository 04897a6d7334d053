"""The pictures that a transfer is made from: loaded, and checked against each other and the options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from fastconv.style.algorithm.options import INITS, SMALLEST_SIDE, OptionError, Options
from fastconv.style.images import ImageError, Picture, PictureLike, load, name_of
from fastconv.style.images.colors import match_colors
from fastconv.style.images.masks import load_mask

Mask: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Inputs:
    """Pictures and options.

    Attributes
    ----------
    options : Options
    content : Picture
        The photograph, at its own size.
    paintings : tuple of Picture
        The style pictures as they were read.
    styles : tuple of Picture
        The style pictures as they are compared: `paintings`, or recoloured to the photograph if the options say so.
    masks : tuple of ndarray, shape (h, w), or None
        Where each style applies, from 0 to 1.
    init : Picture or None
        The picture to start from, if it is one.
    """

    options: Options
    content: Picture
    paintings: tuple[Picture, ...]
    styles: tuple[Picture, ...]
    masks: tuple[Mask, ...] | None
    init: Picture | None

    def with_content(self, content: PictureLike) -> Inputs:
        """Return the inputs of a transfer of another photograph.

        Raises
        ------
        ImageError
            If it cannot be read or is too small, or the masks are out of proportion to it.
        """
        return _inputs(content, self.paintings, self.init, self.options)

    @property
    def all_pictures(self) -> list[Picture]:
        """Every picture that stays in memory, each once."""
        recoloured = () if self.styles is self.paintings else self.styles
        return [self.content, *self.paintings, *recoloured, *([] if self.init is None else [self.init])]

    def describe_options(self) -> dict[str, Any]:
        """Return the options as JSON can hold them: pictures by their names."""
        options = {field.name: getattr(self.options, field.name) for field in fields(self.options)}
        if self.init is not None:
            options["init"] = self.init.name
        if self.options.masks is not None:
            options["masks"] = [name_of(mask) for mask in self.options.masks]
        return options


def load_inputs(content: PictureLike, styles: PictureLike | Sequence[PictureLike], options: Options) -> Inputs:
    """Load the pictures of a transfer.

    Raises
    ------
    OptionError
        If there is no style picture, or there are not as many weights or masks as there are style pictures.
    ImageError
        If a picture cannot be read, is too small, or is a mask that does not fit.
    """
    sources = list(styles) if isinstance(styles, list | tuple) else [cast(PictureLike, styles)]
    _check_numbers(len(sources), options)
    paintings = tuple(_load_large_enough(source, f"style {i}") for i, source in enumerate(sources, start=1))
    init = None if is_name(options.init) else _load(options.init, "init")
    return _inputs(content, paintings, init, options)


def is_name(init: PictureLike) -> bool:
    """Tell whether an option `init` names a start, as opposed to a picture."""
    return isinstance(init, str) and init in INITS


def _inputs(content: PictureLike, paintings: tuple[Picture, ...], init: Picture | None, options: Options) -> Inputs:
    photograph = _load_large_enough(content, "content")
    styles = paintings
    if options.preserve_colors == "match":
        styles = tuple(Picture(match_colors(style.rgb, photograph.rgb), name=style.name) for style in paintings)
    return Inputs(options, photograph, paintings, styles, _load_masks(options, photograph), init)


def _check_numbers(count: int, options: Options) -> None:
    if not count:
        raise OptionError("styles must hold at least one picture, got none")
    for name in ("style_weights", "masks"):
        given = getattr(options, name)
        if given is not None and len(given) != count:
            raise OptionError(f"{name} must be as many as the style pictures, {count}, got {len(given)}")


def _load_masks(options: Options, content: Picture) -> tuple[Mask, ...] | None:
    if options.masks is None:
        return None
    sources = enumerate(options.masks, start=1)
    return tuple(load_mask(source, content.size, name=f"mask {i}") for i, source in sources)


def _load_large_enough(source: PictureLike, role: str) -> Picture:
    picture = _load(source, role)
    if min(picture.size) < SMALLEST_SIDE:
        height, width = picture.size
        raise ImageError(f"{role}: {width}x{height} px is too small, both sides must be at least {SMALLEST_SIDE} px")
    return picture


def _load(source: PictureLike, role: str) -> Picture:
    return replace(load(source, name=role), name=name_of(source))
