"""Trainings and sweeps of SAM: embeddings are made once for all trials, and what is wrong with them ends no trial."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trainyard.data.dataset import Dataset
from trainyard.data.source import Example
from trainyard.data.writer import write_dataset
from trainyard.errors import DataError
from trainyard.models.sam import whole
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep import extraction as shared
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.run import Sweep, run_sweep
from trainyard.sweep.train import Training, run_training
from trainyard.tracking.events import Event, SweepEnded
from trainyard.tracking.journal import Journal
from trainyard.tracking.uri import tracking_uri

ROWS = {"train": 8, "val": 4}
SIDE = 16
SIZES = {"side": 16, "patch": 8, "width": 8, "depth": 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of bright squares before noise."""
    place = tmp_path_factory.mktemp("squares")
    random = np.random.default_rng(0)
    examples = []
    for split, rows in ROWS.items():
        for row in range(rows):
            image = random.integers(0, 120, (SIDE, SIDE, 3), dtype=np.uint8)
            mask = np.zeros((SIDE, SIDE), np.uint8)
            y, x = random.integers(0, SIDE - 6, 2)
            image[y : y + 6, x : x + 6], mask[y : y + 6, x : x + 6] = 220, 1
            examples.append(Example(name=f"{split}-{row}", split=split, image=image, mask=mask))
    write_dataset(place / "data", examples, annotation="mask", classes=("ground", "square"), source="tests")
    return place


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))


def job_on(place: Path, **model: Any) -> Job:
    return Job.from_dict(
        {
            "name": "squares-sam",
            "task": "promptable_segmentation",
            "data": {"path": str(place / "data")},
            "model": {"name": "sam", "architecture": "tiny", "encoder": SIZES, **model},
            "prompts": {"per": "mask"},
            "loss": {"binary_cross_entropy": {}},
            "augmentations": {"horizontal_flip": {"p": 0.5}},
            "optimizer": {"name": "adam", "lr": 1e-3},
            "training": {"epochs": 2, "batch_size": 4},
            "pictures": {"images": 0},
            "objective": {"metric": "val/iou", "mode": "max"},
        }
    )


@pytest.mark.cluster
def test_all_trials_of_a_sweep_share_one_extraction(
    place: Path, tmp_path: Path, ray_nodes: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, inner = tmp_path / "notes", shared._extract

    def noted(reader: Any, *arguments: Any) -> Any:
        columns = inner(reader, *arguments)
        with notes.open("a") as file:
            file.write(f"{reader.images.split}:{len(columns['embedding'])}\n")
        return columns

    monkeypatch.setattr(shared, "_extract", noted)
    job = job_on(place)
    rates = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}
    search = {"sampler": "random", "trials": 2, "max_concurrent": 1}
    space = Space.from_dict({"parameters": {"optimizer.lr": rates}, "search": search})
    outcome = run_sweep(
        Sweep(
            job=job,
            space=space,
            dataset=Dataset.open(place / "data"),
            folder=SweepFolder.create(tmp_path / "results", "sam", job, space),
            tracking_uri=tracking_uri(tmp_path / "results"),
        ),
        ray_nodes,
    )
    assert outcome.state == "finished", outcome.reason
    assert [(record.state, record.epochs) for record in outcome.records.values()] == [("finished", 2)] * 2
    # Each image to train on with an augmented copy.
    assert sorted(notes.read_text().split()) == ["train:16", "val:4"]


def test_embeddings_that_cannot_be_had_end_a_training_so_that_it_can_go_on(place: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sound = whole({"architecture": "tiny", "encoder": SIZES}, (3, SIDE, SIDE)).state_dict()
    neck = "vision_encoder.neck.layer_norm2.weight"
    weights = tmp_path / "sam.safetensors"
    save_file({**sound, neck: sound[neck] * 1e6}, weights)
    job = job_on(place, weights=str(weights))
    training = Training(
        job=job,
        dataset=Dataset.open(place / "data"),
        data=None,
        on_ray=False,
        folder=SweepFolder.create(tmp_path / "results", "alone", job, None),
        tracking_uri=tracking_uri(tmp_path / "results"),
    )
    events: list[Event] = []
    with pytest.raises(DataError, match=r"the embeddings of row 0 of split train are not finite"):
        run_training(training, listeners=[events.append])
    assert [event.kind for event in events] == ["sweep_started", "sweep_ended"]
    ended = events[-1]
    assert isinstance(ended, SweepEnded)
    assert ended.state == "failed"

    save_file(sound, weights)
    record = run_training(training)
    assert (record.state, record.epochs) == ("finished", 2)
    kinds = [event.kind for event in Journal.read(training.folder.journal)]
    assert kinds[:4] == ["sweep_started", "sweep_ended", "sweep_started", "trial_started"]
