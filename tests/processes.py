"""Fresh processes that run a piece of code."""

import json
import os
import subprocess
import sys


def run_python(code, **environment):
    """Run code in a fresh process, and return what it printed, read as JSON."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**inherited, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
