"""Batches reach the device alike, wherever the split lies."""

import numpy as np
import pytest
import torch

from trainyard.data.rows import EpochOrder
from trainyard.data.split import MemorySplit
from trainyard.training import feed as feed_module
from trainyard.training.feed import Feed, _Resident

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)
COLUMNS = {
    "image": RANDOM.integers(0, 256, (23, 3, 4, 5), dtype=np.uint8),
    "label": RANDOM.integers(0, 4, 23),
    "box_crowd": RANDOM.random((23, 2)) < 0.5,
}
ORDER = EpochOrder(epoch=1, seed=0, batch_size=6)


@pytest.fixture
def split() -> MemorySplit:
    """Three chunks, read-only as Ray's shared memory is."""
    chunks = [{name: column[a:b].copy() for name, column in COLUMNS.items()} for a, b in ((0, 9), (9, 10), (10, 23))]
    for chunk in chunks:
        for column in chunk.values():
            column.setflags(write=False)
    return MemorySplit(chunks)


@pytest.fixture(params=["host", "device"])
def feed(request: pytest.FixtureRequest, split: MemorySplit, monkeypatch: pytest.MonkeyPatch) -> Feed:
    """On a GPU what fits is moved there; the code that does it runs anywhere."""
    monkeypatch.setattr(feed_module, "MOVED_BYTES", 200)
    if request.param == "device":
        monkeypatch.setattr(feed_module, "_fits", lambda split, device: True)
    made = Feed(split, CPU)
    assert isinstance(made._resident, _Resident) == (request.param == "device")
    return made


def test_training_batches_are_the_splits(feed: Feed, split: MemorySplit) -> None:
    batches = list(feed.training(ORDER))
    assert len(batches) == 3
    for batch, columns in zip(batches, split.training(ORDER), strict=True):
        assert all(torch.equal(batch[name], torch.from_numpy(column)) for name, column in columns.items())


def test_an_evaluation_has_every_row_of_the_rank_with_images_from_0_to_1(feed: Feed) -> None:
    batches = [batch for rank in (0, 1) for batch in feed.evaluation(size=5, rank=rank, workers=2)]
    assert torch.cat([batch["label"] for batch in batches]).tolist() == COLUMNS["label"].tolist()
    images = torch.cat([batch["image"] for batch in batches])
    assert torch.equal(images, torch.from_numpy(COLUMNS["image"]) / 255)


def test_a_rank_without_rows_gets_no_batch(feed: Feed) -> None:
    assert list(feed.evaluation(size=5, rank=0, workers=100)) == []
