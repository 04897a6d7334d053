"""The files that a run writes: where they go, whether they may be written, and what is already there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastconv.style.algorithm.options import OptionError
from fastconv.style.files import check_writable, free_name, target_of
from fastconv.style.images import check_output
from fastconv.style.report.movie import check_movie
from fastconv.style.running.checkpoint import previous
from fastconv.style.transfer import Transfer


@dataclass(frozen=True)
class Outputs:
    """What a run writes.

    Parameters
    ----------
    picture : Path
        The result, and what an interrupted run has come to.
    overwrite : bool
        Whether files that are there may be replaced.
    save_every : int, optional
        Number of steps after which the picture is saved on the way, at the size of the result: numbered, or, with
        `in_place`, as `picture` itself.
    in_place : bool
    checkpoint : Path, optional
        Where the state of the run is kept, each time that the picture is saved on the way, once a minute without
        `save_every`, and at the end.
    report : Path, optional
        A page about the run, see `fastconv.style.report`.
    movie : Path, optional
        A film of the picture on its way, .gif or .mp4.
    log_file : Path, optional
        Settings and losses as JSON.
    json : bool
        Whether standard output gets these, too, instead of the picture's path.
    bits : {8, 16}
        Bits a channel of the pictures; 16 for PNG and TIFF only.
    metadata : bool
        Whether the pictures hold the settings that made them.
    replaceable : frozenset of Path
        Files that may be replaced whatever `overwrite` says, by the names that `fastconv.style.files.target_of` gives
        them: those of the interrupted run that this one goes on with.

    Raises
    ------
    OptionError
        If they contradict each other.
    """

    picture: Path
    overwrite: bool = False
    save_every: int | None = None
    in_place: bool = False
    checkpoint: Path | None = None
    report: Path | None = None
    movie: Path | None = None
    log_file: Path | None = None
    json: bool = False
    bits: int = 8
    metadata: bool = True
    replaceable: frozenset[Path] = frozenset()

    def __post_init__(self) -> None:
        if self.save_every is not None and (type(self.save_every) is not int or self.save_every < 1):
            raise OptionError(f"save_every must be a whole number of at least 1, got {self.save_every!r}")
        if self.in_place and self.save_every is None:
            raise OptionError("in_place needs save_every, the number of steps after which the picture is saved")
        names = [target_of(path) for path in self.all_but_numbered()]
        for name in names:
            if names.count(name) > 1:
                raise OptionError(f"each output must have a name of its own, got {name} {names.count(name)} times")
            if self.is_numbered(name):
                raise OptionError(
                    f"each output must have a name of its own, and save_every may give {name} to a picture"
                )

    def _paths(self) -> dict[str, Path]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Path)}

    def all_but_numbered(self) -> list[Path]:
        """Return the files that are written, other than the numbered pictures."""
        before = [] if self.checkpoint is None else [previous(self.checkpoint)]
        return [*self._paths().values(), *before]

    def check(self) -> None:
        """Raise `OutputError` if something can't be written."""
        check_output(self.picture, overwrite=self._may_replace(self.picture), bits=self.bits)
        check_writable(free_name(self.unfinished))
        for path in self.all_but_numbered():
            if path not in (self.picture, self.movie):  # which have checks of their own
                check_writable(path, overwrite=self._may_replace(path))
        if self.movie is not None:
            check_movie(self.movie, overwrite=self._may_replace(self.movie))

    def check_for(self, transfer: Transfer) -> None:
        """Raise `OutputError` if what a transfer makes can't be written, now that its size and steps are known."""
        check_output(self.picture, overwrite=self._may_replace(self.picture), shape=transfer.plan.output_size)
        for path in self._numbered_ahead(transfer):
            check_writable(path, overwrite=self._may_replace(path))

    def _may_replace(self, path: Path) -> bool:
        return self.overwrite or target_of(path) in self.replaceable

    def files_of(self, transfer: Transfer) -> frozenset[Path]:
        """Return all files that a transfer will write from where it stands, as `replaceable` has them."""
        return frozenset(map(target_of, [*self.all_but_numbered(), *self._numbered_ahead(transfer)]))

    def _numbered_ahead(self, transfer: Transfer) -> list[Path]:
        if self.save_every is None or self.in_place:
            return []
        done, every = len(transfer.losses), self.save_every
        return [self.numbered(n) for n in range(done - done % every + every, transfer.steps_in_all + 1, every)]

    def is_numbered(self, path: Path) -> bool:
        """Tell whether a picture on the way may get that name."""
        number = re.search(r"-([0-9]{4,})$", path.stem)
        if self.save_every is None or self.in_place or number is None:
            return False
        steps = int(number[1])
        return steps > 0 and steps % self.save_every == 0 and target_of(self.numbered(steps)) == target_of(path)

    def numbered(self, number: int) -> Path:
        """Return where the picture after so many steps goes."""
        return self.picture.with_stem(f"{self.picture.stem}-{number:04}")

    @property
    def unfinished(self) -> Path:
        """Where the picture goes instead, if it is free, so as not to be taken for a finished one."""
        return self.picture.with_stem(f"{self.picture.stem}-unfinished")

    def for_checkpoint(self) -> dict[str, Any]:
        """Return the fields as JSON knows them, valid in any folder."""
        return {
            **vars(self),
            **{name: str(path.absolute()) for name, path in self._paths().items()},
            "replaceable": sorted(map(str, self.replaceable)),
        }

    @classmethod
    def from_checkpoint(cls, saved: Mapping[str, Any]) -> Outputs:
        """Undo `for_checkpoint`."""
        names = ("picture", "checkpoint", "report", "movie", "log_file")
        paths = {name: Path(saved[name]) for name in names if saved[name] is not None}
        return cls(**{**saved, **paths, "replaceable": frozenset(map(Path, saved.get("replaceable", ())))})
