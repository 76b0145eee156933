"""A split in memory."""

from collections.abc import Mapping

import numpy as np

Columns = Mapping[str, np.ndarray]
"""Column name to array, the rows along the first axis. `image`: uint8 (N, C, H, W), C-contiguous; `label`: int64 (N,).

The arrays may be read-only views of memory that other processes share.
"""


def row_count(columns: Columns) -> int:
    return len(next(iter(columns.values())))
