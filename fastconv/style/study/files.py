"""The files of the study: its pictures, and all that was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastconv.style import files
from fastconv.style.files import OutputError, check_writable
from fastconv.style.study import charts
from fastconv.style.study.runs import Run
from fastconv.weights import VGGWeights


@dataclass(frozen=True)
class StudyFiles:
    """The files of a study, in a folder of their own."""

    folder: Path

    @property
    def sheet(self) -> Path:
        """The contact sheet."""
        return self.folder / "sheet.png"

    @property
    def curves(self) -> Path:
        """Losses and gradients, step by step."""
        return self.folder / "curves.png"

    @property
    def numbers(self) -> Path:
        """All that was measured, as JSON."""
        return self.folder / "study.json"

    def prepare(self, *, overwrite: bool) -> None:
        """Make the folder and see that the files can be written.

        Raises
        ------
        OutputError
            If that can't be done.
        """
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {self.folder} cannot be made: {error.strerror}") from error
        for path in (self.sheet, self.curves, self.numbers):
            check_writable(path, overwrite=overwrite)

    def write(self, rows: Mapping[str, Sequence[Run]], weights: VGGWeights) -> None:
        """Write them all.

        Raises
        ------
        OutputError
            If one of them can't be written.
        """
        files.write(self.sheet, charts.contact_sheet(rows))
        files.write(self.curves, charts.curves(rows))
        numbers = {
            "weights": {"source": weights.source, "sha256": weights.sha256},
            "rows": {title: list(map(_as_dict, runs)) for title, runs in rows.items()},
        }
        files.write(self.numbers, json.dumps(numbers, indent=1).encode())


def _as_dict(run: Run) -> dict[str, Any]:
    """Return what JSON can hold of a run."""
    return {**run.setting._asdict(), "trace": [measurement._asdict() for measurement in run.trace]}
