"""Programs of others that this package starts: found where they are installed, never in the current folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def find_program(name: str) -> str | None:
    """Return the path of a program: the first in the absolute folders of PATH, else the one beside this Python.

    `shutil.which` and `subprocess` may take one from the current folder, which may be a folder of downloads: on Windows
    always, elsewhere where PATH has an empty or relative entry.
    """
    filename = f"{name}.exe" if sys.platform == "win32" else name
    on_path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders = [*map(Path, on_path), Path(sys.executable).parent]
    paths = (folder / filename for folder in folders if folder.is_absolute())
    return next((str(path) for path in paths if os.access(path, os.X_OK) and path.is_file()), None)
