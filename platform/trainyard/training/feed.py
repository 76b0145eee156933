"""Batches of a split on the device of the model."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from trainyard.data.augment import in_unit_range
from trainyard.data.columns import Columns
from trainyard.data.rows import EpochOrder, evaluation_batches, training_rows
from trainyard.data.split import MemorySplit, Split
from trainyard.tasks.task import Batch

SHARE_OF_FREE_MEMORY = 0.4
"""A split moves to the GPU as a whole if it takes no more than this share of what is free."""

MOVED_BYTES = 32 << 20
"""Of a column that moves to the GPU at a time."""


class Feed:
    """A split's batches as tensors. Images to train on are as they are stored, uint8: what augments them brings them to
    [0, 1], a few at a time in the cache, in a half of the time. Others are float32 in [0, 1].

    A split in memory moves to the GPU once if it fits, and batches are gathered there. If not, and from a stream,
    batches travel through pinned memory.
    """

    def __init__(self, split: Split, device: torch.device) -> None:
        self._split = split
        self._device = device
        self._resident = _Resident(split, device) if _fits(split, device) else None

    def first(self, rows: int) -> Batch:
        """Some rows at the split's beginning."""
        return self.sent(self._split.first(rows))

    def some(self, rows: Sequence[int]) -> Columns:
        """A few rows, wherever they are, as they are stored."""
        return self._split.take(np.array(rows, np.int64))

    def sent(self, columns: Columns) -> Batch:
        """Some rows as a batch."""
        return next(_in_unit_range(self._sent(iter([columns]))))

    def training(self, order: EpochOrder) -> Generator[Batch, None, None]:
        """The batches of a worker in an epoch, images as they are stored."""
        if self._resident is not None:
            return self._resident.batches(training_rows(self._split.rows, order))
        return self._sent(self._split.training(order))

    def evaluation(self, *, size: int, rank: int, workers: int) -> Generator[Batch, None, None]:
        """The rows that a worker evaluates."""
        if self._resident is not None:
            rows = evaluation_batches(rows=self._split.rows, size=size, rank=rank, workers=workers)
            return _in_unit_range(self._resident.batches(rows))
        return _in_unit_range(self._sent(self._split.evaluation(size=size, rank=rank, workers=workers)))

    def _sent(self, batches: Iterator[Columns]) -> Generator[Batch, None, None]:
        for columns in batches:
            batch = {name: torch.from_numpy(column) for name, column in columns.items()}
            if self._device.type == "cuda":
                batch = {name: value.pin_memory().to(self._device, non_blocking=True) for name, value in batch.items()}
            yield batch


class _Resident:
    """A split on the device."""

    def __init__(self, split: Split, device: torch.device) -> None:
        assert isinstance(split, MemorySplit)
        self._device = device
        self._columns = {name: _moved([chunk[name] for chunk in split.chunks], device) for name in split.chunks[0]}

    def batches(self, rows: Sequence[np.ndarray] | np.ndarray) -> Generator[Batch, None, None]:
        """A batch for each array of rows."""
        if not len(rows):
            return
        # One copy of all the row numbers, as each copy from the host would wait for it.
        indexes = torch.from_numpy(np.concatenate(rows)).to(self._device)
        for own in indexes.split([len(part) for part in rows]):
            yield {name: column.index_select(0, own) for name, column in self._columns.items()}


def _fits(split: Split, device: torch.device) -> bool:
    if device.type != "cuda" or not isinstance(split, MemorySplit):
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return split.nbytes <= SHARE_OF_FREE_MEMORY * free


def _moved(chunks: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """In parts, each copied on the host first: torch warns about tensors over read-only memory."""
    rows, shape = sum(map(len, chunks)), chunks[0].shape[1:]
    moved = torch.empty((rows, *shape), dtype=torch.from_numpy(chunks[0][:1].copy()).dtype, device=device)
    part = max(1, MOVED_BYTES * len(chunks[0]) // max(1, chunks[0].nbytes))
    start = 0
    for chunk in chunks:
        for row in range(0, len(chunk), part):
            copied = torch.from_numpy(chunk[row : row + part].copy())
            moved[start : start + len(copied)] = copied
            start += len(copied)
    return moved


def _in_unit_range(batches: Generator[Batch, None, None]) -> Generator[Batch, None, None]:
    with closing(batches):
        for batch in batches:
            yield {**batch, "image": in_unit_range(batch["image"])}
