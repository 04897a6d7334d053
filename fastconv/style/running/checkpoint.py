"""Writing checkpoints: all that a run needs to go on, and to end at the same picture as if it had never stopped.

A checkpoint is an `.npz` archive without pickles: the arrays of the optimisation and one JSON document. Archives
have checksums, so a damaged file is noticed. The checkpoint before it is kept beside it, named FILE.previous.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.files import digest, replacing
from fastconv.style.algorithm.options import Options
from fastconv.style.files import OutputError, target_of
from fastconv.style.images import PictureLike, load, name_of
from fastconv.style.report.film import Frame
from fastconv.style.running.arrays import Arrays, to_arrays
from fastconv.style.running.environment import environment
from fastconv.style.transfer import Snapshot, Transfer
from fastconv.style.transfer.inputs import is_name
from fastconv.style.transfer.snapshot import LBFGSSnapshot

FORMAT = 1  # to be raised when older versions could not read the file rightly
SECONDS_BETWEEN = 60.0


def previous(path: Path) -> Path:
    """Return where the checkpoint before the one at `path` is kept."""
    path = target_of(path)
    return path.with_name(f"{path.name}.previous")


class Checkpoint:
    """Writes where a run stands to a file, again and again.

    Parameters
    ----------
    path : Path
        The file.
    transfer : Transfer
        The run.
    content : picture
    styles : sequence of pictures
        What the transfer was made from. Files are remembered by path and digest, other pictures are stored.
    outputs : mapping
        What the command has to write, as JSON knows it; handed back by `read`.
    """

    def __init__(
        self,
        path: Path,
        transfer: Transfer,
        content: PictureLike,
        styles: Sequence[PictureLike],
        outputs: Mapping[str, Any],
    ) -> None:
        self._path = path
        self._transfer = transfer
        self._pictures: Arrays = {}
        self._fixed = {
            "format": FORMAT,
            "content": self._refer_to(content),
            "styles": [self._refer_to(style) for style in styles],
            "preset": transfer.settings["preset"],
            "options": self._options(),
            "outputs": dict(outputs),
            "weights": {
                "path": str(transfer.network.path.absolute()),
                "source": transfer.network.source,
                "sha256": transfer.network.sha256,
            },
            "environment": environment(),
        }
        self._noted: Snapshot | None = None
        self._frames = 0  # that there were then
        self._written = time.monotonic()

    def _options(self) -> dict[str, Any]:
        options = {field.name: getattr(self._transfer.options, field.name) for field in fields(Options)}
        options["tile"] = self._transfer.plan.tile  # however much memory there will be
        if not is_name(options["init"]):
            options["init"] = self._refer_to(options["init"])
        if options["masks"] is not None:
            options["masks"] = [self._refer_to(mask) for mask in options["masks"]]
        return options

    def _refer_to(self, source: PictureLike) -> dict[str, Any]:
        if isinstance(source, str | os.PathLike):
            path = Path(source).absolute()
            return {"path": str(path), "sha256": digest(path)}
        picture, key = load(source), f"picture{len(self._pictures)}"
        self._pictures[key] = picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha])
        return {"stored": key, "name": name_of(source)}

    def is_due(self) -> bool:
        """Tell whether the last one is so old that another should be written."""
        return time.monotonic() - self._written >= SECONDS_BETWEEN

    def note(self, frames: Sequence[Frame] = ()) -> None:
        """Take note of where the run stands, to be called after each step; `frames` are kept with it."""
        snapshot = self._transfer.snapshot()
        if snapshot is None:
            return
        # Under L-BFGS there is none after many a step, so this one is kept until it is written.
        self._noted = deepcopy(snapshot) if isinstance(snapshot.optimizer, LBFGSSnapshot) else snapshot
        self._frames = len(frames)

    def write(self, frames: Sequence[Frame] = ()) -> bool:
        """Write where the run stands or, under L-BFGS, where its last search began.

        Returns
        -------
        bool
            Whether there is a place from which the run can go on.

        Raises
        ------
        OutputError
            If the file can't be written. Then the last one is still there.
        """
        if self._noted is None:
            return False
        frames = frames[: self._frames]
        document = {
            **self._fixed,
            "random": self._noted.random,
            "frames": [[frame.number, frame.scale, frame.step, len(frame.jpeg)] for frame in frames],
        }
        arrays = {
            **self._pictures,
            **to_arrays(self._noted),
            "jpegs": np.frombuffer(b"".join(frame.jpeg for frame in frames), np.uint8),
            "document": np.frombuffer(json.dumps(document).encode(), np.uint8),
        }
        try:
            with replacing(self._path, previous=previous(self._path)) as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {error}") from error
        self._written = time.monotonic()
        return True
