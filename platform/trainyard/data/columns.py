"""Splits in memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainyard.data.manifest import Manifest

Columns = Mapping[str, np.ndarray]
"""Column name to array, the rows along the first axis. `image`: uint8 (N, C, H, W), C-contiguous; `label`: int64 (N,).

The arrays may be read-only views of memory that other processes share.
"""


def row_count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """The decoded splits of a job, and the manifest of their data set."""

    manifest: Manifest
    train: Columns
    evaluate: Columns
