"""How long a fresh process takes: to import, to a first convolution, and to VGG-19 with nothing compiled beforehand.

``python -m benchmarks.startup`` starts each kind of process a few times, after one untimed, and prints the median time
from start to end. VGG-19 runs forward and backward on made-up weights at 64 px: "cold" with an empty cache, once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

CONVOLUTION = """
import numpy as np, fastconv
x, weight = np.ones((1, 8, 16, 16), np.float32), np.ones((8, 8, 3, 3), np.float32)
fastconv.conv2d(x, weight, padding=1)
"""
NETWORK = """
import numpy as np
from fastconv.nn.vgg import VGG19
from fastconv.weights.model import KERNEL_SHAPES
layers = {name: (np.ones(shape, np.float32), np.zeros(shape[0], np.float32)) for name, shape in KERNEL_SHAPES.items()}
network = VGG19(layers)
features = network.forward(np.ones((1, 3, 64, 64), np.float32), ["relu5_1"])
network.backward({"relu5_1": features["relu5_1"]})
"""
WARM = {
    "import numpy, numba": "import numpy, numba",
    "import fastconv": "import fastconv",
    "a first convolution, warm": CONVOLUTION,
    "VGG-19, warm": NETWORK,
}


def seconds(code: str, cache: str | None = None) -> float:
    """Run code in a process of its own; return the time from its start to its end."""
    environment = {**os.environ, "FASTCONV_CACHE_DIR": cache} if cache else None
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - begin


def main() -> int:
    """Time all kinds of processes and print a table."""
    parser = argparse.ArgumentParser("python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="timed processes of each kind (default: %(default)s)")
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as cold:
        print(f"{'VGG-19, cold':27} {seconds(NETWORK, cold):6.2f} s", flush=True)
    for what, code in WARM.items():
        seconds(code)
        print(f"{what:27} {statistics.median(seconds(code) for _ in range(repeat)):6.2f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
