"""A page to look at."""

import numpy as np
import pytest

from fastconv.style.report.page import write_report

from .helpers import RED, frame, result


@pytest.fixture
def report(tmp_path):
    """Write a report whose photograph is red and whose result is blue, and return its path."""

    def report(frames=None, **parts):
        made = result(**parts)
        path = tmp_path / "run.html"
        write_report(path, np.full(made.image.shape, RED, np.float32), made, frames or [frame(i) for i in range(1, 61)])
        return path

    return report
