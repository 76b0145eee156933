"""Which rows a worker trains and evaluates on."""

from typing import Any

import numpy as np
import pytest

from trainyard.data.rows import (
    EpochOrder,
    draws,
    evaluation_batches,
    evaluation_rows,
    shuffled,
    slice_of,
    training_rows,
)
from trainyard.errors import DataError

WEIGHTS = np.random.default_rng(0).uniform(0, 3, 103)


def order(**changes: Any) -> EpochOrder:
    return EpochOrder(**{"epoch": 3, "seed": 5, "batch_size": 8} | changes)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("last_batch", ["drop", "pad"])
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5])
def test_the_global_batches_are_the_same_on_any_number_of_workers(workers: int, last_batch: str, weights: Any) -> None:
    settings = {"last_batch": last_batch, "weights": weights}
    alone = training_rows(103, order(**settings))
    shares = [training_rows(103, order(**settings, rank=rank, workers=workers)) for rank in range(workers)]
    assert np.array_equal(np.concatenate(shares, axis=1), alone)


@pytest.mark.parametrize("paired", [False, True], ids=["rows", "pairs"])
@pytest.mark.parametrize("batch_size", [8, 9, 10, 31])
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_slices_make_the_batch_and_differ_by_one(workers: int, batch_size: int, paired: bool) -> None:
    slices = [slice_of(batch_size, rank=rank, workers=workers, paired=paired) for rank in range(workers)]
    assert [row for own in slices for row in range(batch_size)[own]] == list(range(batch_size))
    lengths = [own.stop - own.start for own in slices]
    unit = 2 if paired else 1
    assert max(lengths) - min(lengths) <= unit + (paired and batch_size % 2)
    assert min(lengths) >= 1
    if paired:
        assert all(own.start % 2 == 0 for own in slices)


def test_an_epoch_that_drops_has_each_row_at_most_once_and_only_whole_batches() -> None:
    rows = training_rows(103, order())
    assert rows.shape == (12, 8)
    assert len(np.unique(rows)) == rows.size
    assert 0 <= rows.min() <= rows.max() < 103


def test_an_epoch_that_pads_has_each_row_and_begins_again() -> None:
    rows = training_rows(103, order(last_batch="pad"))
    assert rows.shape == (13, 8)
    assert sorted(rows.flat[:103]) == list(range(103))
    assert rows.flat[103] == rows.flat[0]


def test_padding_fills_a_batch_from_fewer_rows() -> None:
    rows = training_rows(3, order(last_batch="pad"))
    assert rows.shape == (1, 8)
    assert np.bincount(rows[0], minlength=3).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_short_epoch_is_the_beginning_of_the_pass(workers: int, weights: Any) -> None:
    for rank in range(workers):
        own = order(weights=weights, rank=rank, workers=workers)
        short = order(weights=weights, rank=rank, workers=workers, most_steps=5)
        assert np.array_equal(training_rows(103, short), training_rows(103, own)[:5])


def test_short_epochs_draw_other_rows_each() -> None:
    first, second = (set(training_rows(103, order(epoch=epoch, most_steps=5)).flat) for epoch in (1, 2))
    assert len(first) == len(second) == 40
    assert first != second


@pytest.mark.parametrize(("last_batch", "whole"), [("drop", 12), ("pad", 13)])
def test_more_steps_than_a_pass_has(last_batch: str, whole: int) -> None:
    assert order(last_batch=last_batch, most_steps=whole).steps(103) == whole
    with pytest.raises(DataError, match=rf"got steps_per_epoch={whole + 1}, a pass={whole}. Lower it"):
        training_rows(103, order(last_batch=last_batch, most_steps=whole + 1))


@pytest.mark.parametrize("change", [{"epoch": 2}, {"seed": 1}])
def test_epochs_and_seeds_have_orders_of_their_own(change: dict[str, int]) -> None:
    assert not np.array_equal(training_rows(103, order()), training_rows(103, order(**change)))


def test_fewer_rows_than_a_batch() -> None:
    with pytest.raises(DataError, match=r"got batch_size=8, rows=7. Lower it, or set training.last_batch=pad"):
        training_rows(7, order())


def test_no_rows_at_all() -> None:
    with pytest.raises(DataError, match=r"the split to train on has no rows"):
        training_rows(0, order(last_batch="pad"))


@pytest.mark.parametrize("seed", range(20))
def test_a_weighted_epoch_draws_each_row_as_often_as_expected_but_for_rounding(seed: int) -> None:
    rows = shuffled(103, epoch=1, seed=seed, weights=WEIGHTS)
    times = np.bincount(rows, minlength=103)
    expected = 103 * WEIGHTS / WEIGHTS.sum()
    assert times.sum() == 103
    assert (times >= np.floor(expected)).all()
    assert (times <= np.ceil(expected)).all()


def test_over_many_epochs_the_draws_have_the_share_of_their_weights() -> None:
    times = sum(np.bincount(shuffled(103, epoch=e, seed=0, weights=WEIGHTS), minlength=103) for e in range(1, 401))
    assert np.allclose(times / 400, 103 * WEIGHTS / WEIGHTS.sum(), atol=0.12)


def test_equal_weights_draw_every_row_once() -> None:
    assert draws(np.full(1000, 0.3), total=1000, offset=0.5).tolist() == [1] * 1000


def test_a_weight_of_zero_is_never_drawn() -> None:
    assert draws(np.array([0.0, 1.0, 0.0]), total=3, offset=0.9).tolist() == [0, 3, 0]


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
