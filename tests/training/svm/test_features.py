"""Features of a split: extracted once, kept on the disk under what they follow from, never wrong numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainyard.data.dataset import Dataset
from trainyard.data.source import Example
from trainyard.data.writer import write_dataset
from trainyard.errors import DataError, StorageError, TrialError
from trainyard.models.features import feature_extractor
from trainyard.spec.job import Job
from trainyard.training.extraction.here import read_extracted_here
from trainyard.training.svm import extraction
from trainyard.training.svm.features import FeatureData

ROWS = {"train": 30, "val": 9}
SIDE = 48


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of black images, row 7 of the training split all white, and random weights of a small net."""
    place = tmp_path_factory.mktemp("features")
    examples = [
        Example(
            name=f"{split}-{row}",
            split=split,
            image=np.full((SIDE, SIDE, 3), 255 if (split, row) == ("train", 7) else 0, np.uint8),
            label=row % 3,
        )
        for split, rows in ROWS.items()
        for row in range(rows)
    ]
    write_dataset(place / "data", examples, annotation="label", classes=("a", "b", "c"), source="tests")
    for seed in (0, 1):
        torch.save(random_weights(seed), place / f"{seed}.pt")
    return place


def random_weights(seed: int) -> dict[str, torch.Tensor]:
    from torchvision.models import squeezenet1_1

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return dict(squeezenet1_1().state_dict())


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The rows that the network was given, call by call, with an empty disk cache to begin with."""
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    calls: list[int] = []
    inner = extraction.extract

    def counted(images: np.ndarray, *arguments: Any, **settings: Any) -> np.ndarray:
        calls.append(len(images))
        return inner(images, *arguments, **settings)

    monkeypatch.setattr(extraction, "extract", counted)
    return calls


def job_for(place: Path, *, weights: str | None = "0.pt", data: dict[str, Any] | None = None, **features: Any) -> Job:
    chosen = {"architecture": "squeezenet1_1", "weights": weights and str(place / weights), **features}
    return Job.from_dict(
        {
            "name": "svm",
            "task": "classification",
            "data": {"path": str(place / "data"), **(data or {})},
            "model": {"name": "svm", "features": {name: value for name, value in chosen.items() if value is not None}},
            "training": {"epochs": 1, "batch_size": 8},
            "objective": {"metric": "val/accuracy", "mode": "max"},
        }
    )


def read(job: Job) -> FeatureData:
    data = read_extracted_here(job, Dataset.open(job.data.path), "cpu")
    assert isinstance(data, FeatureData)
    return data


def features_of(data: FeatureData) -> np.ndarray:
    return np.concatenate([chunk["features"] for chunk in data.train.chunks])


@pytest.mark.parametrize(("pool", "size"), [("average", 512), ("flatten", 2048)])
def test_features_are_those_of_the_network(place: Path, extracted: list[int], pool: str, size: int) -> None:
    job = job_for(place, pool=pool)
    data = read(job)

    images = torch.zeros(ROWS["train"], 3, SIDE, SIDE)
    images[7] = 1
    maps = feature_extractor(job.model.features, (3, SIDE, SIDE))(images)  # type: ignore[attr-defined]
    expected = maps.mean((2, 3)) if pool == "average" else maps.flatten(1)
    assert data.train.size == expected.shape[1]
    assert np.allclose(features_of(data), expected.numpy(), atol=1e-5)
    assert data.train.labels.tolist() == [row % 3 for row in range(ROWS["train"])]
    assert extracted == list(ROWS.values())


def test_the_second_time_nothing_is_extracted(place: Path, extracted: list[int]) -> None:
    first, second = read(job_for(place)), read(job_for(place))

    assert np.array_equal(features_of(first), features_of(second))
    assert np.array_equal(first.evaluate.labels, second.evaluate.labels)
    assert extracted == list(ROWS.values())


def test_whoever_finds_all_on_the_disk_needs_no_network(
    place: Path, extracted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(job_for(place))
    monkeypatch.setattr(extraction, "feature_extractor", None)
    assert read(job_for(place)).train.size == 512


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "1.pt"},
        {"weights": None},
        {"pool": "flatten"},
        {"normalize": "none"},
        {"until": "features.3"},
        {"data": {"image_size": [40, 40]}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_features_follow_from_is_their_name(place: Path, extracted: list[int], change: dict[str, Any]) -> None:
    first = read(job_for(place))
    other = read(job_for(place, **change))

    assert extracted == [*ROWS.values(), *ROWS.values()]
    assert features_of(first).shape != features_of(other).shape or not np.allclose(
        features_of(first), features_of(other)
    )


def test_a_file_whose_content_changes_is_other_weights(place: Path, extracted: list[int], tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    job = job_for(tmp_path, weights=file.name).with_values({"data.path": str(place / "data")})
    file.write_bytes((place / "0.pt").read_bytes())
    first = read(job)
    file.write_bytes((place / "1.pt").read_bytes())
    second = read(job)

    assert not np.allclose(features_of(first), features_of(second))
    assert first.weights != second.weights
    file.rename(tmp_path / "elsewhere.pt")
    moved = job.with_values({"model.features.weights": str(tmp_path / "elsewhere.pt")})
    assert np.array_equal(features_of(read(moved)), features_of(second))
    assert len(extracted) == 2 * len(ROWS)


def test_weights_that_are_drawn_follow_from_the_seed(place: Path, extracted: list[int]) -> None:
    job = job_for(place, weights=None)
    before = torch.get_rng_state()
    first, again = read(job), read(job)
    other = read(job.with_values({"training.seed": 1}))

    assert np.array_equal(features_of(first), features_of(again))
    assert not np.allclose(features_of(first), features_of(other))
    assert torch.equal(torch.get_rng_state(), before)


def test_features_that_are_no_numbers_are_refused_with_their_row(place: Path, extracted: list[int]) -> None:
    """Weights so large that a white image gets beyond float32, and a black one doesn't: it stays at the biases."""
    large = {name: value * (1e30 if name.endswith("weight") else 0) for name, value in random_weights(0).items()}
    torch.save(large, place / "large.pt")

    with pytest.raises(DataError, match=r"data: the features of row 7 of split train are not finite\. Are the weights"):
        read(job_for(place, weights="large.pt", normalize="none"))


def test_a_file_that_is_not_there_is_named(place: Path, extracted: list[int]) -> None:
    with pytest.raises(StorageError, match=r"the weights .*nowhere\.pt: there is no such file"):
        read(job_for(place, weights="nowhere.pt"))


def test_a_node_that_is_not_there_is_named(place: Path, extracted: list[int]) -> None:
    with pytest.raises(TrialError, match=r"squeezenet1_1 has no node features\.33"):
        read(job_for(place, until="features.33"))
