"""The features of a split, as those who fit on them read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from trainyard.data.columns import Columns, row_count

if TYPE_CHECKING:  # torch is imported where it is needed
    from torch import Tensor


@dataclass(frozen=True)
class FeatureSplit:
    """The features of a split, chunk by chunk, in memory that other processes may share."""

    chunks: Sequence[Columns]

    @cached_property
    def labels(self) -> np.ndarray:
        """int64 (N,)."""
        return np.concatenate([chunk["label"] for chunk in self.chunks])

    @property
    def size(self) -> int:
        """D, the numbers of a row."""
        return int(self.chunks[0]["features"].shape[1])

    def batches(self, size: int) -> Iterator[tuple["Tensor", "Tensor"]]:
        """Features float32 (n, D) and labels int64 (n,) of at most so many rows at a time, copied."""
        import torch

        for chunk in self.chunks:
            for start in range(0, row_count(chunk), size):
                part = {name: column[start : start + size].copy() for name, column in chunk.items()}
                yield torch.from_numpy(part["features"]), torch.from_numpy(part["label"])
