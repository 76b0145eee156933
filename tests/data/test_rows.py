"""Which rows a worker trains and evaluates on."""

import numpy as np
import pytest

from trainyard.data.rows import evaluation_batches, evaluation_rows, training_rows
from trainyard.errors import DataError


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_global_batches_are_the_same_on_any_number_of_workers(workers: int) -> None:
    alone = training_rows(rows=103, batch_size=8, epoch=3, seed=5)
    shares = [
        training_rows(rows=103, batch_size=8, epoch=3, seed=5, rank=rank, workers=workers) for rank in range(workers)
    ]
    assert np.array_equal(np.concatenate(shares, axis=1), alone)


def test_an_epoch_has_each_row_at_most_once_and_only_whole_batches() -> None:
    rows = training_rows(rows=103, batch_size=8, epoch=1, seed=0)
    assert rows.shape == (12, 8)
    assert len(np.unique(rows)) == rows.size
    assert 0 <= rows.min() <= rows.max() < 103


@pytest.mark.parametrize("change", [{"epoch": 2}, {"seed": 1}])
def test_epochs_and_seeds_have_orders_of_their_own(change: dict[str, int]) -> None:
    settings = {"rows": 103, "batch_size": 8, "epoch": 1, "seed": 0}
    assert not np.array_equal(training_rows(**settings), training_rows(**settings | change))


def test_fewer_rows_than_a_batch() -> None:
    with pytest.raises(DataError, match=r"batch_size must be <= the rows .*, got batch_size=8, rows=7"):
        training_rows(rows=7, batch_size=8, epoch=1, seed=0)


@pytest.mark.parametrize("workers", [1, 2, 3, 12])
def test_evaluation_takes_every_row_once(workers: int) -> None:
    shares = [evaluation_rows(rows=10, rank=rank, workers=workers) for rank in range(workers)]
    assert np.concatenate(shares).tolist() == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_evaluation_batches_hold_all_of_a_workers_rows() -> None:
    batches = evaluation_batches(rows=10, size=3, rank=1, workers=2)
    assert [batch.tolist() for batch in batches] == [[5, 6, 7], [8, 9]]


def test_nothing_to_evaluate_on() -> None:
    with pytest.raises(DataError, match=r"has no rows. Choose another data.evaluate_split"):
        evaluation_batches(rows=0, size=3)
