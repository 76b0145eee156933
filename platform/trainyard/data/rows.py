"""Which rows a worker trains and evaluates on. Pure functions of numbers.

A job means the same on any number of workers: the global batch of a step is the same rows in the same order, and each
worker takes its own slice of it. Slices differ by a row where the workers don't divide the batch.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainyard.errors import DataError

LastBatch = Literal["drop", "pad"]


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochOrder:
    """What decides the rows of a worker in an epoch of a split.

    epoch: counts from 1. batch_size: over all workers, of which each has a row at least. last_batch: what becomes of
    rows that fill no batch: dropped, or their batch filled up. most_steps: of an epoch; None: a whole pass. weights:
    float64 (rows,), how often each row is drawn in proportion to the others; None: every row once. paired: whether rows
    0 and 1 of a batch, 2 and 3, and so on, go to the same worker.
    """

    epoch: int
    seed: int
    batch_size: int
    last_batch: LastBatch = "drop"
    most_steps: int | None = None
    weights: np.ndarray | None = None
    rank: int = 0
    workers: int = 1
    paired: bool = False

    @property
    def own(self) -> slice:
        """The worker's slice of each global batch."""
        return slice_of(self.batch_size, rank=self.rank, workers=self.workers, paired=self.paired)

    def steps(self, rows: int) -> int:
        whole = steps_per_pass(rows=rows, batch_size=self.batch_size, last_batch=self.last_batch)
        return whole if self.most_steps is None else require_within_pass(self.most_steps, whole)


def require_within_pass(steps: int, whole: int) -> int:
    """The steps of an epoch that is shorter than a pass. DataError if it isn't."""
    if steps > whole:
        raise DataError(
            "training.steps_per_epoch must be <= the steps of a whole pass over the training split, "
            f"got steps_per_epoch={steps}, a pass={whole}. Lower it, and take more training.epochs."
        )
    return steps


def steps_per_pass(*, rows: int, batch_size: int, last_batch: LastBatch = "drop") -> int:
    """The batches of a whole pass over so many rows. DataError if there is none."""
    if rows == 0:
        raise DataError("the split to train on has no rows. Choose another data.train_split.")
    if last_batch == "pad":
        return -(-rows // batch_size)
    if rows < batch_size:
        raise DataError(
            f"training.batch_size must be <= the rows of the training split, got batch_size={batch_size}, rows={rows}. "
            "Lower it, or set training.last_batch=pad."
        )
    return rows // batch_size


def training_rows(rows: int, order: EpochOrder) -> np.ndarray:
    """The rows of a worker in an epoch, int64 (steps, length of its slice), shuffled anew each epoch.

    Step k's global batch is rows k * batch_size up to (k + 1) * batch_size of the shuffled whole, and each rank has its
    slice of it (`slice_of`), so every rank takes the same number of steps. What fills no batch at the end sits out this
    epoch ("drop"), or its batch is filled up with the rows at the beginning ("pad"). An epoch of `most_steps` is the
    beginning of the pass that it would else be.
    """
    steps = order.steps(rows)
    whole = shuffled(rows, epoch=order.epoch, seed=order.seed, weights=order.weights)
    # np.resize goes round as often as is needed, also where there are fewer rows than a batch takes.
    return own_share(np.resize(whole, steps * order.batch_size), steps=steps, own=order.own)


def shuffled(rows: int, *, epoch: int, seed: int, weights: np.ndarray | None = None) -> np.ndarray:
    """The rows of an epoch in its order, int64 (rows,): each once, or as often as its weight says."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(rows)
    if weights is None:
        return order
    drawn = np.repeat(order, draws(weights[order], total=rows, offset=generator.random()))
    return generator.permutation(drawn)


def row_draws(rows: int, *, epoch: int, seed: int, weights: np.ndarray) -> np.ndarray:
    """How often each row is drawn in an epoch, int64 (rows,), adding up to the rows."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(rows)
    counts = np.empty(rows, np.int64)
    counts[order] = draws(weights[order], total=rows, offset=generator.random())
    return counts


def draws(weights: np.ndarray, *, total: int, offset: float) -> np.ndarray:
    """How often each of N is drawn in `total` draws, int64 (N,).

    Systematic sampling (Madow 1949): in expectation total * weight / sum of the weights, and never further from it than
    to the whole number below or above. offset: in [0, 1), what is random about it.
    """
    expected = np.cumsum(weights) * (total / weights.sum())
    expected[-1] = total  # whatever rounding made of it
    return np.diff(np.floor(expected + offset), prepend=np.floor(offset)).astype(np.int64)


def slice_of(batch_size: int, *, rank: int, workers: int, paired: bool = False) -> slice:
    """A rank's slice of a global batch: of all ranks, in their order, the whole batch, and as even as can be.

    paired: rows 0 and 1, 2 and 3, and so on, stay together; of an odd batch the last row is a pair by itself.
    """
    unit = 2 if paired else 1
    units = -(-batch_size // unit)
    assert units >= workers, f"a batch of {batch_size} is too small for {workers} workers"
    edges = [min(unit * (units * place // workers), batch_size) for place in (rank, rank + 1)]
    return slice(*edges)


def own_share(epoch: np.ndarray, *, steps: int, own: slice) -> np.ndarray:
    """A slice of each global batch, (steps, share, ...), of anything that has (steps * batch size, ...) rows."""
    return np.ascontiguousarray(epoch.reshape(steps, -1, *epoch.shape[1:])[:, own])


def evaluation_batches(*, rows: int, size: int, rank: int = 0, workers: int = 1) -> list[np.ndarray]:
    """The rows that a worker evaluates, in batches of at most `size`. DataError if there are none at all."""
    if rows == 0:
        raise DataError("the split to evaluate on has no rows. Choose another data.evaluate_split.")
    own = evaluation_rows(rows=rows, rank=rank, workers=workers)
    return [own[start : start + size] for start in range(0, len(own), size)]


def evaluation_rows(*, rows: int, rank: int = 0, workers: int = 1) -> np.ndarray:
    """The rows that a worker evaluates, int64 (about rows / workers,): over all workers every row exactly once."""
    return np.arange(rows * rank // workers, rows * (rank + 1) // workers)
