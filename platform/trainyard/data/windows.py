"""Which row groups a stream reads, and which rows of them it gives to a worker. Pure functions of numbers.

A stream can't jump to any row. It reads windows of whole row groups, which it visits in another order in each epoch,
and mixes the rows within a window. The rows of a data set lie in random order already. All windows' rows one after
the other are the epoch, of which each worker has an equal part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainyard.data.rows import EpochOrder, evaluation_rows, row_draws

WINDOW_BYTES = 64 << 20
"""Decoded bytes of a window, about: while one is being used, those that are decoded ahead wait in the object store."""

WINDOW_GROUPS = 16
"""The most row groups of a window: of some 4 MiB each, they are all in the memory of a decoding process."""

_WINDOWS = 2**31
"""Sets the windows' random streams apart from those of the rows and of the augmentations."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """What is read at a time: row groups by their index in the split, and rows of theirs, int64 (n,), in this order."""

    groups: tuple[int, ...]
    rows: np.ndarray


class Groups:
    """The row groups of a split, as numbers: `rows` of each, and how many of them are read together."""

    def __init__(self, rows: Sequence[int], *, row_bytes: int) -> None:
        """row_bytes: of a decoded row."""
        self.rows = np.array(rows, np.int64)
        group_bytes = max(1, sum(rows) * row_bytes // max(1, len(rows)))
        self.together = min(WINDOW_GROUPS, max(1, WINDOW_BYTES // group_bytes))
        self.starts = np.concatenate([[0], np.cumsum(self.rows)])
        self.total = int(self.starts[-1])

    def window(self, rows: np.ndarray) -> Window:
        """The window that holds just these rows."""
        groups = np.unique(np.searchsorted(self.starts, rows, side="right") - 1)
        return Window(groups=tuple(groups.tolist()), rows=rows)


def training_windows(groups: Groups, order: EpochOrder) -> Iterator[Window]:
    """What a worker reads in an epoch: order.steps(rows) times the rows of its slice in all.

    Over all workers every row once, or as often as its weight says; but what fills no batch at the end sits out
    ("drop"), or the beginning is read once more to fill it up ("pad").
    """
    steps = order.steps(groups.total)
    epoch = _Epoch(groups, order)
    at, end = order.own.start * steps, order.own.stop * steps
    while at < end:
        rows = epoch.rows(at % groups.total)[: end - at]
        at += len(rows)
        yield groups.window(rows)


def evaluation_windows(groups: Groups, *, rank: int, workers: int) -> Iterator[Window]:
    """What a worker reads in an evaluation: over all workers every row once, in the order of the split."""
    own = evaluation_rows(rows=groups.total, rank=rank, workers=workers)
    ends = groups.starts[groups.together :: groups.together]
    for rows in np.split(own, np.searchsorted(own, ends)):
        if len(rows):
            yield groups.window(rows)


class _Epoch:
    """The order of a split's rows in an epoch, of which only the windows that are asked for are worked out."""

    def __init__(self, groups: Groups, order: EpochOrder) -> None:
        self._groups = groups
        self._seed = [order.seed, order.epoch, _WINDOWS]
        visited = np.random.default_rng(self._seed).permutation(len(groups.rows))
        self._windows = np.split(visited, range(groups.together, len(visited), groups.together))
        self._draws: np.ndarray | None = None
        lengths = groups.rows
        if order.weights is not None:
            self._draws = row_draws(groups.total, epoch=order.epoch, seed=order.seed, weights=order.weights)
            lengths = np.add.reduceat(self._draws, groups.starts[:-1])
        self._ends = np.cumsum([lengths[window].sum() for window in self._windows])

    def rows(self, at: int) -> np.ndarray:
        """The rows from a place in the epoch to the end of its window."""
        window = int(np.searchsorted(self._ends, at, side="right"))
        rows = self._shuffled(window)
        return rows[len(rows) - (self._ends[window] - at) :]

    def _shuffled(self, window: int) -> np.ndarray:
        starts = self._groups.starts
        rows = np.concatenate([np.arange(starts[group], starts[group + 1]) for group in self._windows[window]])
        if self._draws is not None:
            rows = np.repeat(rows, self._draws[rows])
        return np.random.default_rng([*self._seed, window + 1]).permutation(rows)
