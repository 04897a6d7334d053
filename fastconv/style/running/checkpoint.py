"""Checkpoints: all that a run needs to go on, so that it ends at the same picture as if it had never stopped.

A checkpoint is an `.npz` archive without pickles: the arrays of the optimisation and one JSON document. Archives
carry checksums, so that a damaged file is noticed; the one before it is kept beside it, named FILE.previous.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import fastconv
from fastconv.kernels import jit
from fastconv.nn.optim import Adam
from fastconv.style.algorithm.lbfgs import LBFGS
from fastconv.style.algorithm.options import INITS, Options
from fastconv.style.algorithm.scales import Scale
from fastconv.style.files import OutputError, is_there, replacing, sha256, target_of
from fastconv.style.images import ImageError, Picture, PictureLike, load, name_of
from fastconv.style.report.film import Frame
from fastconv.style.transfer import LossRecord, RunningAverage, State, Transfer
from fastconv.weights import WrongFileError

Arrays: TypeAlias = dict[str, Any]  # of ndarray

FORMAT = 1  # to be raised when older versions could not read the file rightly
SECONDS_BETWEEN = 60.0
LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "Pillow")  # whose versions may show in the last digits


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or whose run cannot be taken up again."""


def previous(path: Path) -> Path:
    """Return where the checkpoint before the one at `path` is kept."""
    path = target_of(path)
    return path.with_name(f"{path.name}.previous")


# --- writing ------------------------------------------------------------------------------------------------


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
                "path": str(transfer.weights_path.absolute()),
                "source": transfer.settings["weights"]["source"],
                "sha256": transfer.settings["weights"]["sha256"],
            },
            "environment": environment(),
        }
        self._noted: _Place | None = None
        self._written = time.monotonic()

    def _options(self) -> dict[str, Any]:
        options = {field.name: getattr(self._transfer.options, field.name) for field in fields(Options)}
        options["tile"] = self._transfer.tile  # however much memory there will be
        if not (isinstance(options["init"], str) and options["init"] in INITS):
            options["init"] = self._refer_to(options["init"])
        if options["masks"] is not None:
            options["masks"] = [self._refer_to(mask) for mask in options["masks"]]
        return options

    def _refer_to(self, source: PictureLike) -> dict[str, Any]:
        if isinstance(source, str | os.PathLike):
            path = Path(source).absolute()
            return {"path": str(path), "sha256": sha256(path)}
        picture, key = load(source), f"picture{len(self._pictures)}"
        self._pictures[key] = picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha])
        return {"stored": key, "name": name_of(source)}

    def is_due(self) -> bool:
        """Tell whether the last one is so old that another should be written."""
        return time.monotonic() - self._written >= SECONDS_BETWEEN

    def note(self, frames: Sequence[Frame] = ()) -> None:
        """Take note of where the run stands, to be called after each step; `frames` are kept with it."""
        transfer = self._transfer
        assert transfer.state is not None, "there is nothing to save before the first step"
        if not can_be_saved(transfer.state):
            return
        arrays = to_arrays(transfer.state)
        if isinstance(transfer.state.optimizer, LBFGS):
            # The run can't be saved at any time, so this is kept until it is written.
            arrays = {name: array.copy() for name, array in arrays.items()}
        self._noted = _Place(arrays, len(transfer.losses), len(frames))

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
        frames = frames[: self._noted.frames]
        document = {
            **self._fixed,
            "random": self._transfer.random.bit_generator.state,
            "frames": [[frame.number, frame.scale, frame.step, len(frame.jpeg)] for frame in frames],
        }
        losses = self._transfer.losses[: self._noted.losses]
        arrays = {
            **self._pictures,
            **self._noted.arrays,
            "losses": np.array(losses, np.float64).reshape(-1, len(LossRecord._fields)),
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


class _Place(NamedTuple):
    """Where a run stood: its state, and how many losses and frames there were."""

    arrays: Arrays
    losses: int
    frames: int


def to_arrays(state: State) -> Arrays:
    """Return the state of an optimisation as arrays, bit for bit."""
    average = state.average
    arrays = {
        "scale": np.array([*state.scale.size, state.scale.steps, state.step]),
        "average": average.sum,
        "averaging": np.array([average.decay, average.weight]),
        **(_from_adam(state.optimizer) if isinstance(state.optimizer, Adam) else _from_lbfgs(state.optimizer)),
    }
    return arrays if state.sound is None else {**arrays, "sound": state.sound}


def from_arrays(arrays: Arrays) -> State:
    """Return the state that `to_arrays` has turned into arrays."""
    height, width, steps, step = map(int, arrays["scale"])
    optimizer = _to_adam(arrays) if "adam" in arrays else _to_lbfgs(arrays)
    decay, weight = map(float, arrays["averaging"])
    average = RunningAverage(decay, optimizer.parameter)
    average.sum, average.weight = arrays["average"], weight
    return State(Scale(height, width, steps), optimizer, average, step, arrays.get("sound"))


def _from_adam(optimizer: Adam) -> Arrays:
    numbers = [optimizer.learning_rate, *optimizer.betas, optimizer.eps, optimizer.t]
    return {"image": optimizer.parameter, "m": optimizer.m, "v": optimizer.v, "adam": np.array(numbers)}


def _to_adam(arrays: Arrays) -> Adam:
    learning_rate, beta1, beta2, eps, t = map(float, arrays["adam"])
    optimizer = Adam(arrays["image"], learning_rate, betas=(beta1, beta2), eps=eps)
    optimizer.m, optimizer.v, optimizer.t = arrays["m"], arrays["v"], int(t)
    return optimizer


def _from_lbfgs(optimizer: LBFGS) -> Arrays:
    """Return where a search begins; at the end of a scale, after which there is none, any point will do."""
    start = optimizer.parameter if optimizer.start is None else optimizer.start
    bounds = (-np.inf, np.inf) if optimizer.bounds is None else optimizer.bounds
    numbers = [optimizer.learning_rate, np.nan if optimizer.factor is None else optimizer.factor, *bounds]
    return {"image": start, "lbfgs": np.array(numbers)}


def _to_lbfgs(arrays: Arrays) -> LBFGS:
    learning_rate, factor, low, high = map(float, arrays["lbfgs"])
    return LBFGS(
        arrays["image"],
        learning_rate,
        bounds=None if np.isinf(low) else (low, high),
        dtype=arrays["average"].dtype.name,
        factor=None if np.isnan(factor) else factor,
    )


def can_be_saved(state: State) -> bool:
    """Tell whether a state is all there is: not so in the middle of a search by L-BFGS, whose memory is SciPy's."""
    if isinstance(state.optimizer, Adam) or state.step == state.scale.steps:
        return True
    return state.optimizer.start is not None


def environment() -> dict[str, str]:
    """Return what, beside the settings, decides the last digits of a result."""
    facts = jit.describe()
    versions = {f"{library} version": metadata.version(library) for library in LIBRARIES}
    return {
        "number of threads": str(fastconv.get_num_threads()),
        "processor": facts["target"],
        "vector lanes": facts["lanes"],
        "fastconv version": fastconv.__version__,
        **versions,
    }


# --- reading ------------------------------------------------------------------------------------------------


def read(path: Path, log: Callable[[str], None]) -> Saved:
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

    def transfer(self, *, steps: int | None = None, log: Callable[[str], None] | None = None) -> Transfer:
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
        found = transfer.settings["weights"]["sha256"]
        if found != weights["sha256"]:
            raise WrongFileError(
                f"{source}: other weights than those of the run; SHA-256 {found}, expected {weights['sha256']}"
            )
        self._restore(transfer)
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
        if sha256(path) != reference["sha256"]:
            raise CheckpointError(f"{path} is not the picture that it was when the run in {self.path} began")
        return path

    def _restore(self, transfer: Transfer) -> None:
        state = from_arrays(self.arrays)
        scales = {scale.size: scale for scale in transfer.plan}
        if state.scale.size not in scales:
            raise CheckpointError(
                f"{self.path} stands at {state.scale.width}x{state.scale.height} px, which is none of the run's scales"
            )
        state.scale = scales[state.scale.size]
        transfer.state = state
        transfer.random.bit_generator.state = self.document["random"]
        transfer.losses = [
            LossRecord(int(scale), int(step), *rest) for scale, step, *rest in self.arrays["losses"].tolist()
        ]


def _tuples(value: Any) -> Any:
    """Undo JSON, which knows lists only."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
