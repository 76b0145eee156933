"""A split in memory: the same rows in one chunk or in several."""

import numpy as np
import pytest

from trainyard.data import split as split_module
from trainyard.data.columns import Columns
from trainyard.data.rows import EpochOrder, training_rows
from trainyard.data.split import MemorySplit

RANDOM = np.random.default_rng(0)
COLUMNS: Columns = {
    "image": RANDOM.integers(0, 256, (23, 3, 4, 5), dtype=np.uint8),
    "label": RANDOM.integers(0, 4, 23),
}
ORDER = EpochOrder(epoch=1, seed=0, batch_size=6)


def chunked(*ends: int) -> MemorySplit:
    starts = [0, *ends]
    chunks = [{name: column[a:b] for name, column in COLUMNS.items()} for a, b in zip(starts, [*ends, 23], strict=True)]
    for chunk in chunks:
        for column in chunk.values():
            column.setflags(write=False)  # as Ray's shared memory is
    return MemorySplit(chunks)


@pytest.fixture(params=[(), (10,), (1, 2, 20)], ids=["one", "two", "four"])
def split(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MemorySplit:
    monkeypatch.setattr(split_module, "JOINED_BYTES", 256)  # the labels are joined, the images aren't
    return chunked(*request.param)


def test_rows_are_gathered_from_the_chunks_in_the_order_that_is_asked_for(split: MemorySplit) -> None:
    rows = np.array([22, 0, 9, 10, 10, 1, 2])
    taken = split.take(rows)
    assert {name: column.dtype for name, column in taken.items()} == {n: c.dtype for n, c in COLUMNS.items()}
    for name, column in COLUMNS.items():
        assert np.array_equal(taken[name], column[rows])


def test_what_is_taken_is_a_copy(split: MemorySplit) -> None:
    assert all(column.flags.writeable for column in split.take(np.array([3, 4])).values())


def test_an_epoch_has_the_rows_of_the_rule(split: MemorySplit) -> None:
    labels = [batch["label"] for batch in split.training(ORDER)]
    assert np.array_equal(labels, COLUMNS["label"][training_rows(23, ORDER)])


def test_an_evaluation_has_every_row_once(split: MemorySplit) -> None:
    batches = [batch for rank in (0, 1) for batch in split.evaluation(size=5, rank=rank, workers=2)]
    assert np.array_equal(np.concatenate([batch["image"] for batch in batches]), COLUMNS["image"])


def test_it_says_what_is_in_it(split: MemorySplit) -> None:
    assert (split.rows, split.image_shape) == (23, (3, 4, 5))
    assert split.nbytes == sum(column.nbytes for column in COLUMNS.values())
    assert split.classes().classes.tolist() == COLUMNS["label"].tolist()


def test_the_first_rows_are_as_many_as_there_are(split: MemorySplit) -> None:
    assert len(split.first(2)["label"]) == 2
    assert len(split.first(99)["label"]) == 23
