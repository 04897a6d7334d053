"""Reading checkpoints, and going on with their runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.files import digest
from fastconv.log import Log
from fastconv.style.algorithm.options import Options
from fastconv.style.files import is_there
from fastconv.style.images import ImageError, Picture, PictureLike
from fastconv.style.report.film import Frame
from fastconv.style.running.arrays import Arrays, from_arrays
from fastconv.style.running.checkpoint import FORMAT, previous
from fastconv.style.running.environment import environment
from fastconv.style.transfer import Transfer
from fastconv.weights import WrongFileError


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or whose run cannot be taken up again."""


def read(path: Path, log: Log) -> Saved:
    """Read a checkpoint, or, where it is damaged or missing, the one before it, which `log` is told.

    Raises
    ------
    CheckpointError
        If neither can be read.
    """
    try:
        return _read(path)
    except CheckpointError as error:
        if not is_there(previous(path)):
            raise
        saved = _read(previous(path))
        log(f"{error}; going on from {previous(path)}, the one before it")
        return saved


def _read(path: Path) -> Saved:
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):  # NumPy would take it for a pickle, and advise to trust it
                raise CheckpointError(f"{path} is no checkpoint, or one that was cut short")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = dict(archive)
        document = json.loads(arrays.pop("document").tobytes())
        version = document.get("format")
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; expected a checkpoint") from None
    except CheckpointError:
        raise
    except Exception as error:  # a flipped bit in a header may raise anything, even a TokenError or a MemoryError
        raise CheckpointError(f"{path} is no checkpoint, or a damaged one: {error}") from error
    if version != FORMAT:
        raise CheckpointError(f"{path} is a checkpoint of format {version}; this version of fastconv reads {FORMAT}")
    return Saved(path, document, arrays)


@dataclass(frozen=True)
class Saved:
    """A checkpoint that has been read; its path, its JSON document, and its arrays."""

    path: Path
    document: dict[str, Any]
    arrays: Arrays

    @property
    def outputs(self) -> dict[str, Any]:
        """What was given to `Checkpoint`."""
        return dict(self.document["outputs"])

    @property
    def threads(self) -> int:
        """The number of threads of the run."""
        return int(self.document["environment"]["number of threads"])

    @property
    def content(self) -> PictureLike:
        """The photograph."""
        return self._picture(self.document["content"])

    @property
    def styles(self) -> list[PictureLike]:
        """The paintings."""
        return [self._picture(reference) for reference in self.document["styles"]]

    def frames(self) -> list[Frame]:
        """Return the frames of the film so far."""
        jpegs = self.arrays["jpegs"].tobytes()
        frames, start = [], 0
        for number, scale, step, length in self.document["frames"]:
            frames.append(Frame(number, scale, step, jpegs[start : start + length]))
            start += length
        return frames

    def differences(self) -> list[str]:
        """Tell what is not as it was, so that the rest of the run may differ in the last digits."""
        now = environment()
        then = self.document["environment"]
        return [f"{name}: {then.get(name)} then, {now[name]} now" for name in now if then.get(name) != now[name]]

    def transfer(self, *, steps: int | None = None, log: Log | None = None) -> Transfer:
        """Make the transfer anew, at the place that it had come to.

        Parameters
        ----------
        steps : int, optional
            Another number of steps a scale.
        log : callable, optional
            As for `Transfer`.

        Raises
        ------
        CheckpointError
            If a picture has changed, or the checkpoint does not fit.
        fastconv.weights.WeightsError
            If the weights are missing or others; and what `Transfer` raises.
        """
        changes = {} if steps is None else {"steps": steps}
        weights = self.document["weights"]
        # They were there when the run began; if they have gone since, nobody expects a download.
        source = weights["path"] if Path(weights["path"]).exists() else weights["source"]
        transfer = Transfer(
            self.content,
            self.styles,
            weights=source,
            offline=True,
            log=log,
            preset=self.document["preset"],
            **{**self._options(), **changes},
        )
        found = transfer.network.sha256
        if found != weights["sha256"]:
            raise WrongFileError(
                f"{source}: other weights than those of the run; SHA-256 {found}, expected {weights['sha256']}"
            )
        try:
            transfer.restore(from_arrays(self.arrays, self.document["random"]))
        except ValueError as error:
            raise CheckpointError(f"{self.path} does not fit: {error}") from error
        return transfer

    def _options(self) -> dict[str, Any]:
        options = {name: _tuples(value) for name, value in self.document["options"].items()}
        known = {field.name for field in fields(Options)}
        if unknown := options.keys() - known:
            raise CheckpointError(f"{self.path} has options that this version lacks: {', '.join(sorted(unknown))}")
        if isinstance(options["init"], dict):
            options["init"] = self._picture(options["init"])
        if options["masks"] is not None:
            options["masks"] = [self._picture(mask) for mask in options["masks"]]
        return options

    def _picture(self, reference: Mapping[str, str]) -> PictureLike:
        if "stored" in reference:
            pixels = self.arrays[reference["stored"]]
            return Picture(pixels[..., :3], pixels[..., 3] if pixels.shape[2] == 4 else None, reference.get("name"))
        path = Path(reference["path"])
        if not path.is_file():
            raise ImageError(f"{path} does not exist; the run in {self.path} needs it")
        if digest(path) != reference["sha256"]:
            raise CheckpointError(f"{path} is not the picture that it was when the run in {self.path} began")
        return path


def _tuples(value: Any) -> Any:
    """Undo JSON, which knows lists only."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
