"""Which rows a worker trains and evaluates on. Pure functions of numbers.

A job means the same on any number of workers: the global batch of a step is the same rows in the same order, and each
worker takes its own slice of it.
"""

import numpy as np

from trainyard.errors import DataError


def steps_per_epoch(*, rows: int, batch_size: int) -> int:
    """Whole batches in the rows; the rest sits out this epoch. DataError if there is none."""
    if rows < batch_size:
        raise DataError(
            f"training.batch_size must be <= the rows of the training split, got batch_size={batch_size}, rows={rows}."
        )
    return rows // batch_size


def training_rows(*, rows: int, batch_size: int, epoch: int, seed: int, rank: int = 0, workers: int = 1) -> np.ndarray:
    """The rows of a worker in an epoch, int64 (steps, batch_size // workers), shuffled anew each epoch.

    Epochs count from 1. Step k's global batch is rows k * batch_size up to (k + 1) * batch_size of the shuffled
    whole, and rank r has the r-th slice of it, so every rank takes the same number of steps. batch_size is divisible
    by workers.
    """
    assert batch_size % workers == 0, f"batch_size {batch_size} is not divisible by {workers} workers"
    steps = steps_per_epoch(rows=rows, batch_size=batch_size)
    order = np.random.default_rng([seed, epoch]).permutation(rows)[: steps * batch_size]
    return own_share(order, steps=steps, rank=rank, workers=workers)


def own_share(epoch: np.ndarray, *, steps: int, rank: int, workers: int) -> np.ndarray:
    """A rank's slice of each global batch, (steps, share, ...), of anything that has (steps * batch size, ...) rows."""
    return np.ascontiguousarray(epoch.reshape(steps, workers, -1, *epoch.shape[1:])[:, rank])


def evaluation_batches(*, rows: int, size: int, rank: int = 0, workers: int = 1) -> list[np.ndarray]:
    """The rows that a worker evaluates, in batches of at most `size`. DataError if there are none at all."""
    if rows == 0:
        raise DataError("the split to evaluate on has no rows. Choose another data.evaluate_split.")
    own = evaluation_rows(rows=rows, rank=rank, workers=workers)
    return [own[start : start + size] for start in range(0, len(own), size)]


def evaluation_rows(*, rows: int, rank: int = 0, workers: int = 1) -> np.ndarray:
    """The rows that a worker evaluates, int64 (about rows / workers,): over all workers every row exactly once."""
    return np.arange(rows * rank // workers, rows * (rank + 1) // workers)
