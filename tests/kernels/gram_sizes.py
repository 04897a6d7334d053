"""Numbers of channels and positions around the edges of tiles and blocks, for Gram matrices and their gradient."""

import numpy as np
import pytest

from fastconv import jit
from fastconv.kernels import gram
from fastconv.kernels.microkernel import tile_columns, tile_rows

WIDE = tile_columns(np.dtype(np.float32))
LONG = jit.lanes(np.dtype(np.float32))
CHANNELS = pytest.mark.parametrize("channels", [1, tile_rows() + 1, WIDE - 1, WIDE, 3 * WIDE + 5])
POSITIONS = pytest.mark.parametrize("positions", [1, LONG - 1, 2 * WIDE, 2 * WIDE + 1, gram.POSITIONS_BLOCK + 3])
WEIGHTED = pytest.mark.parametrize("weighted", [False, True])
