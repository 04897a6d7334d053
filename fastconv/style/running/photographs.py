"""The photographs of a folder, and the results that they become in another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from fastconv.style.algorithm.options import OptionError
from fastconv.style.files import OutputError, is_there
from fastconv.style.images import FORMATS, ImageError
from fastconv.style.running.outputs import Outputs


def output_name(photograph: Path) -> str:
    """Return the name of the result: the photograph's own, with .png after it if nothing of its kind is written."""
    return photograph.name if photograph.suffix.lower() in FORMATS else f"{photograph.name}.png"


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder, by name; its subfolders and hidden files are left alone."""
    readable = Image.registered_extensions()
    found = sorted(_files_in(folder))
    pictures = [path for path in found if path.suffix.lower() in readable]
    if not pictures:
        raise ImageError(f"{folder} holds no pictures; its {len(found)} files have other extensions")
    return pictures


def _files_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def check_options(folder: Path, outputs: Outputs) -> None:
    """Refuse outputs that only a single picture can have."""
    single = {name: getattr(outputs, name) for name in ("in_place", "checkpoint", "report", "movie", "log_file")}
    if given := [name for name, value in single.items() if value]:
        raise OptionError(f"{', '.join(given)}: only for a single picture, and {folder} is a folder")


def check_names(photographs: Sequence[Path], outputs: Outputs) -> None:
    """Refuse photographs if what is written for one of them would get the name of another's result."""
    results: dict[Path, Path] = {}
    for photograph in photographs:
        path = outputs.picture / output_name(photograph)
        if path in results:
            raise OutputError(f"{results[path]} and {photograph} would both become {path}; rename one of them")
        results[path] = photograph
    for path, photograph in results.items():
        stem = path.stem.rpartition("-")[0]
        if not stem or (other := path.with_stem(stem)) not in results:
            continue
        own = replace(outputs, picture=other)
        if path == own.unfinished or own.is_numbered(path):
            raise OutputError(
                f"{photograph} would become {path}, and so may an unfinished picture of {results[other]}; "
                "rename one of them"
            )


def make_folder(target: Path, folder: Path) -> None:
    """Make the folder `target` for the results of the photographs in `folder`."""
    if is_there(target) and not target.is_dir():
        raise OutputError(f"{target} is a file; expected a folder, since {folder} is one")
    if not is_there(target) and target.suffix.lower() in FORMATS:
        raise OutputError(f"{target} is the name of a picture; expected that of a folder, since {folder} is one")
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {target} cannot be made: {error.strerror}") from error
    if target.samefile(folder):
        raise OutputError(f"{target} is the folder of the photographs; expected another one for the results")
