"""What a stream reads: whole row groups in windows, over all workers every row as often as it should be."""

from typing import Any

import numpy as np
import pytest

from trainyard.data.rows import EpochOrder, row_draws
from trainyard.data.windows import (
    WINDOW_BYTES,
    WINDOW_GROUPS,
    Groups,
    Window,
    evaluation_windows,
    training_windows,
)

GROUP_ROWS = [7, 5, 1, 9, 4, 8, 3, 6, 2, 7, 5, 8, 9, 1, 6, 4, 7, 3, 5, 3]
ROWS = 103
GROUPS = Groups(GROUP_ROWS, row_bytes=WINDOW_BYTES * len(GROUP_ROWS) // ROWS // 8)
"""Eight of them make a window."""

WEIGHTS = np.random.default_rng(0).uniform(0, 3, ROWS)


def windows(**changes: Any) -> list[Window]:
    settings = {"epoch": 2, "seed": 1, "batch_size": 12} | changes
    return list(training_windows(GROUPS, EpochOrder(**settings)))


def rows_of(found: list[Window]) -> list[int]:
    return [row for window in found for row in window.rows.tolist()]


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize(("last_batch", "steps"), [("drop", 8), ("pad", 9)])
def test_every_rank_gets_the_same_number_of_rows(workers: int, last_batch: str, steps: int) -> None:
    shares = [rows_of(windows(rank=rank, workers=workers, last_batch=last_batch)) for rank in range(workers)]
    assert {len(share) for share in shares} == {steps * 12 // workers}


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_no_row_is_given_twice(workers: int) -> None:
    given = [row for rank in range(workers) for row in rows_of(windows(rank=rank, workers=workers))]
    assert len(set(given)) == len(given) == 96


@pytest.mark.parametrize("workers", [5, 7])
def test_workers_that_do_not_divide_a_batch_get_as_many_batches_of_their_own_size(workers: int) -> None:
    shares = [rows_of(windows(rank=rank, workers=workers)) for rank in range(workers)]
    assert {len(share) % 8 for share in shares} == {0}  # steps
    assert {len(share) // 8 for share in shares} == {12 // workers, 12 // workers + 1}
    assert len({row for share in shares for row in share}) == 96


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_padding_gives_every_row_and_the_first_ones_again(workers: int) -> None:
    given = [row for rank in range(workers) for row in rows_of(windows(rank=rank, workers=workers, last_batch="pad"))]
    assert sorted(given[:ROWS]) == list(range(ROWS))
    assert given[ROWS:] == given[: len(given) - ROWS]


def test_padding_goes_round_until_a_batch_is_full() -> None:
    few = list(
        training_windows(Groups([2, 1], row_bytes=1), EpochOrder(epoch=1, seed=0, batch_size=8, last_batch="pad"))
    )
    assert np.bincount(rows_of(few)).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_a_short_epoch_is_the_beginning_of_the_pass(workers: int, weights: Any) -> None:
    whole = rows_of(windows(weights=weights))
    short = [windows(weights=weights, most_steps=3, rank=rank, workers=workers) for rank in range(workers)]
    assert {len(rows_of(own)) for own in short} == {36 // workers}
    assert [row for own in short for row in rows_of(own)] == whole[:36]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_weighted_rows_are_given_as_often_as_they_are_drawn(workers: int) -> None:
    settings = {"weights": WEIGHTS, "batch_size": 4, "last_batch": "pad", "workers": workers}
    given = [row for rank in range(workers) for row in rows_of(windows(**settings, rank=rank))]
    expected = row_draws(ROWS, epoch=2, seed=1, weights=WEIGHTS)
    assert np.array_equal(np.bincount(given[:ROWS], minlength=ROWS), expected)


def test_a_window_names_the_groups_that_its_rows_are_in() -> None:
    for window in windows():
        assert len(window.groups) <= 8
        for row in window.rows:
            assert any(GROUPS.starts[group] <= row < GROUPS.starts[group + 1] for group in window.groups)


def test_rows_of_a_window_are_mixed() -> None:
    assert all((np.diff(window.rows) < 0).any() for window in windows())


@pytest.mark.parametrize("change", [{"epoch": 3}, {"seed": 2}])
def test_epochs_and_seeds_have_orders_of_their_own(change: dict[str, int]) -> None:
    assert rows_of(windows()) != rows_of(windows(**change))
    assert windows()[0].groups != windows(**change)[0].groups


def test_the_same_arguments_give_the_same_rows() -> None:
    assert rows_of(windows(rank=1, workers=2)) == rows_of(windows(rank=1, workers=2))


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 200])
def test_an_evaluation_has_every_row_once_in_order(workers: int) -> None:
    shares = [list(evaluation_windows(GROUPS, rank=rank, workers=workers)) for rank in range(workers)]
    assert [row for share in shares for row in rows_of(share)] == list(range(ROWS))
    assert all(len(window.groups) <= 8 for share in shares for window in share)


@pytest.mark.parametrize(
    ("row_bytes", "together"), [(1, WINDOW_GROUPS), (WINDOW_BYTES // 1000, 10), (WINDOW_BYTES // 99, 1), (2**40, 1)]
)
def test_the_larger_the_rows_the_fewer_groups_are_read_together(row_bytes: int, together: int) -> None:
    assert Groups([100] * 30, row_bytes=row_bytes).together == together
