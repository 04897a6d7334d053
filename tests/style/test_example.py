"""The example."""

import os
import subprocess
import sys
from pathlib import Path

from .helpers import size_of

ROOT = Path(__file__).parents[2]


def test_the_example_runs_and_is_short(folder):
    script = ROOT / "examples" / "style_transfer.py"
    assert len(script.read_text().splitlines()) < 60
    command = [sys.executable, script, "photo.png", "painting.png", "out.png", "--steps", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "step    1  content 0  style" in done.stdout
    assert size_of(folder / "out.png") == (320, 192)
