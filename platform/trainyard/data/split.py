"""A split as a worker reads it: in memory, or streamed. Whoever trains on it need not know which."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trainyard.data.columns import Columns, row_count
from trainyard.data.manifest import Manifest
from trainyard.data.rows import EpochOrder, evaluation_batches, training_rows
from trainyard.data.sampling import RowClasses

JOINED_BYTES = 16 << 20
"""A column up to this size is copied into one piece: gathering labels over chunks costs more than keeping them."""


class Split(Protocol):
    """The rows of a split, decoded. One object serves one worker; its batches come in one thread at a time.

    What a worker is given follows from the arguments alone, and over all workers it is what `rows.py` says: every rank
    of an epoch gets the same number of batches of its own size, and an evaluation has every row once. A streamed split
    may train on other global batches than one in memory, and on others for another number of workers.

    An iterator that isn't used to its end lets go of everything when it is closed or collected. Reading may raise
    DataError for rows that aren't what was imported.
    """

    rows: int

    image_shape: tuple[int, int, int]
    """(channels, height, width)."""

    def first(self, rows: int) -> Columns:
        """So many rows at the split's beginning, or all if there are fewer."""
        ...

    def take(self, rows: np.ndarray) -> Columns:
        """Some rows, in this order, wherever they are. For a few: a stream reads a row group for each."""
        ...

    def classes(self) -> RowClasses:
        """Of all rows."""
        ...

    def names(self, rows: Sequence[int]) -> list[str]:
        """What some rows were called in the source; nothing where that isn't known."""
        ...

    def training(self, order: EpochOrder) -> Iterator[Columns]:
        """The batches of a worker in an epoch: `order.steps(rows)` of as many rows as its slice has."""
        ...

    def evaluation(self, *, size: int, rank: int = 0, workers: int = 1) -> Iterator[Columns]:
        """The rows that a worker evaluates, in batches of at most `size`."""
        ...


class MemorySplit:
    """A split in memory, in one chunk or several, which may be read-only memory that other processes share.

    What it yields are copies.
    """

    def __init__(
        self,
        chunks: Sequence[Columns],
        classes: Callable[[], RowClasses] | None = None,
        names: Callable[[Sequence[int]], list[str]] | None = None,
    ) -> None:
        """chunks: in the order of the rows, none empty but a sole one. classes: needed where there are no labels."""
        assert chunks, "a split needs a chunk to say what is in it"
        self.chunks = chunks
        self.rows = sum(map(row_count, chunks))
        channels, height, width = chunks[0]["image"].shape[1:]
        self.image_shape = (channels, height, width)
        self._classes = classes
        self._names = names
        self._row_classes: RowClasses | None = None
        self._ends = np.cumsum([row_count(chunk) for chunk in chunks])
        self._joined = {name: self._in_one(name) for name in chunks[0]}

    @classmethod
    def of(cls, columns: Columns) -> "MemorySplit":
        """A split of one chunk."""
        return cls([columns])

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for chunk in self.chunks for column in chunk.values())

    def first(self, rows: int) -> Columns:
        return self.take(np.arange(min(rows, self.rows)))

    def classes(self) -> RowClasses:
        if self._row_classes is None:
            if "label" in self.chunks[0]:
                self._row_classes = RowClasses.of_labels(np.concatenate([chunk["label"] for chunk in self.chunks]))
            else:
                assert self._classes is not None, "only labels say the classes of a row by themselves"
                self._row_classes = self._classes()
        return self._row_classes

    def names(self, rows: Sequence[int]) -> list[str]:
        return self._names(rows) if self._names else []

    def training(self, order: EpochOrder) -> Iterator[Columns]:
        return map(self.take, training_rows(self.rows, order))

    def evaluation(self, *, size: int, rank: int = 0, workers: int = 1) -> Iterator[Columns]:
        return map(self.take, evaluation_batches(rows=self.rows, size=size, rank=rank, workers=workers))

    def take(self, rows: np.ndarray) -> Columns:
        """The rows, copied."""
        return {
            name: self._gathered(name, rows) if column is None else column.take(rows, axis=0)
            for name, column in self._joined.items()
        }

    def _in_one(self, name: str) -> np.ndarray | None:
        """The whole column, unless it is large and in several chunks."""
        if len(self.chunks) == 1:
            return self.chunks[0][name]
        parts = [chunk[name] for chunk in self.chunks]
        return np.concatenate(parts) if sum(part.nbytes for part in parts) <= JOINED_BYTES else None

    def _gathered(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Row by row: 0.5 us a row more than `take` of a single chunk at 3x32x32, however many chunks there are.

        A batch of 128 took 105 us against 44; grouped by chunk it took 67 us with 4 chunks, 142 with 16.
        """
        columns = [chunk[name] for chunk in self.chunks]
        chosen = np.searchsorted(self._ends, rows, side="right")
        within = rows - np.concatenate([[0], self._ends])[chosen]
        gathered = np.empty((len(rows), *columns[0].shape[1:]), columns[0].dtype)
        for at, (chunk, row) in enumerate(zip(chosen.tolist(), within.tolist(), strict=True)):
            gathered[at] = columns[chunk][row]
        return gathered


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """The splits of a job, and the manifest of their data set."""

    manifest: Manifest
    train: Split
    evaluate: Split
