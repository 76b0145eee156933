"""A small job and small data that tests of training share."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from trainyard.data.columns import TrialData
from trainyard.data.manifest import ImageFacts, Manifest, SplitFacts
from trainyard.spec.job import Job

CLASSES = 6
TRAIN_ROWS, EVALUATE_ROWS = 150, 45


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more, and the tests share the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def data() -> TrialData:
    """Six noisy patterns of 8x8 pixels in three colours: a net learns them in a few epochs, and not in one."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 256, (CLASSES, 3, 8, 8))

    def split(rows: int) -> dict[str, np.ndarray]:
        labels = random.permutation(np.arange(rows) % CLASSES)
        noisy = 0.6 * patterns[labels] + 0.4 * random.integers(0, 256, (rows, 3, 8, 8))
        columns = {"image": noisy.astype(np.uint8), "label": labels.astype(np.int64)}
        for column in columns.values():
            column.setflags(write=False)  # as Ray's shared memory is
        return columns

    train, evaluate = split(TRAIN_ROWS), split(EVALUATE_ROWS)
    return TrialData(manifest=manifest_of(train["label"], evaluate["label"]), train=train, evaluate=evaluate)


def manifest_of(train: np.ndarray, evaluate: np.ndarray) -> Manifest:
    splits = {}
    for name, labels in (("train", train), ("val", evaluate)):
        counts = tuple(np.bincount(labels, minlength=CLASSES).tolist())
        splits[name] = SplitFacts(rows=len(labels), files=(), class_counts=counts, fingerprint="")
    return Manifest(
        source="tests",
        classes=tuple("abcdef"),
        image=ImageFacts(channels=3, height=8, width=8),
        splits=splits,
        fingerprint="",
    )


@pytest.fixture(scope="session")
def make_job() -> Callable[..., Job]:
    """make_job(optimizer={...}, ...): a small job with some of its sections replaced; `training` is only changed."""

    def make(**sections: Any) -> Job:
        job: dict[str, Any] = {
            "name": "patterns",
            "task": "classification",
            "data": {"path": "data/patterns"},
            "model": {"name": "cnn", "channels": [8, 16], "padding": "same", "dropout": 0.3},
            "loss": {"cross_entropy": {}},
            "optimizer": {"name": "adamw", "lr": 0.01},
            "objective": {"metric": "val/accuracy", "mode": "max"},
        }
        training = {"epochs": 5, "batch_size": 16} | sections.pop("training", {})
        return Job.from_dict(job | sections | {"training": training})

    return make
