"""Sweeps of SVMs on a real Ray: features are extracted once, however many trials and sweeps need them."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from trainyard.data.dataset import Dataset
from trainyard.data.source import Example
from trainyard.data.writer import write_dataset
from trainyard.errors import DataError, RunError, UsageError
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep import extraction as shared
from trainyard.sweep.ledger import Listener
from trainyard.sweep.opening import require_same_extraction
from trainyard.sweep.results.checkpoints import TrialFolder
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.run import Outcome, Sweep, run_sweep
from trainyard.sweep.train import Training, run_training
from trainyard.tracking.events import Event, TrialEpoch
from trainyard.tracking.journal import Journal
from trainyard.tracking.uri import tracking_uri
from trainyard.training.checkpoint import load_state
from trainyard.training.extraction.here import read_extracted_here
from trainyard.training.svm.features import FeatureData
from trainyard.training.svm.trial import SvmTrial

pytestmark = pytest.mark.cluster

ROWS = {"train": 60, "val": 30}
SIDE = 32
TRIALS = 4
PARAMETERS = {
    "model.C": {"type": "float", "low": 1e-2, "high": 1e2, "log": True},
    "model.kernel": {"type": "categorical", "choices": ["linear", "rbf"]},
    "model.gamma": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True, "when": {"model.kernel": "rbf"}},
}


@dataclass
class Stage:
    """A data set of three colours in noise and random weights of a small net; `extracted` lists the extractions."""

    home: Path
    nodes: list[dict[str, float]]
    notes: Path

    def job(self, **sections: Any) -> Job:
        job = {
            "name": "colours-svm",
            "task": "classification",
            "data": {"path": str(self.home / "data")},
            "model": {
                "name": "svm",
                "features": {"architecture": "squeezenet1_1", "weights": str(self.home / "weights.pt")},
            },
            "training": {"epochs": 1, "batch_size": 16},
            "objective": {"metric": "val/accuracy", "mode": "max"},
        }
        return Job.from_dict(job | sections)

    def run(self, job: Job, folder: str, *, listeners: Sequence[Listener] = ()) -> Outcome:
        """Run a sweep, or go on with it if there is one of the name."""
        asha = {"name": "asha", "grace": 1, "reduction_factor": 2}
        space = Space.from_dict(
            {
                "parameters": PARAMETERS,
                "search": {"sampler": "random", "trials": TRIALS, "scheduler": asha, "max_concurrent": 1},
            }
        )
        results, path = self.home / "results", self.home / "results" / folder
        place = SweepFolder(path=path) if path.exists() else SweepFolder.create(results, folder, job, space)
        sweep = Sweep(
            job=job,
            space=space,
            dataset=Dataset.open(self.home / "data"),
            folder=place,
            tracking_uri=tracking_uri(results),
        )
        return run_sweep(sweep, self.nodes, listeners=listeners)

    @property
    def extracted(self) -> list[str]:
        return self.notes.read_text().split() if self.notes.exists() else []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.models import squeezenet1_1

    home = tmp_path_factory.mktemp("svm")
    random = np.random.default_rng(0)
    examples = []
    for split, rows in ROWS.items():
        for row in range(rows):
            image = random.integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8)
            image[..., row % 3] |= 128
            examples.append(Example(name=f"{split}-{row}", split=split, image=image, label=row % 3))
    write_dataset(home / "data", examples, annotation="label", classes=("red", "green", "blue"), source="tests")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(squeezenet1_1().state_dict(), home / "weights.pt")
    return home


@pytest.fixture(scope="module")
def stage(home: Path, ray_nodes: list[dict[str, float]]) -> Iterator[Stage]:
    """With an empty disk cache to begin with. Every extraction, in whichever process, is noted in a file."""
    notes, inner = home / "notes", shared._extract

    def noted(reader: Any, *arguments: Any) -> Any:
        with notes.open("a") as file:
            file.write(f"{reader.images.split}\n")
        return inner(reader, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINYARD_CACHE", str(home / "cache"))
        patch.setattr(shared, "_extract", noted)
        yield Stage(home=home, nodes=ray_nodes, notes=notes)


@pytest.fixture(scope="module")
def resumed(stage: Stage) -> Outcome:
    """Of a sweep that broke off in its second trial and went on."""

    def full_disk(event: Event) -> None:
        if isinstance(event, TrialEpoch) and event.trial == 1:
            raise RunError("No space left on device")

    broken = stage.run(stage.job(), "svm", listeners=[full_disk])
    assert (broken.state, broken.reason) == ("failed", "No space left on device")
    return stage.run(stage.job(), "svm")


def test_all_trials_of_a_sweep_and_what_goes_on_with_it_share_one_extraction(stage: Stage, resumed: Outcome) -> None:
    assert resumed.state == "finished"
    assert [record.state for record in resumed.records.values()] == ["finished"] * TRIALS
    assert max(record.best[0].value for record in resumed.records.values()) > 0.9
    assert sorted(stage.extracted) == ["train", "val"]


def test_the_next_sweep_extracts_nothing(stage: Stage, resumed: Outcome) -> None:
    before = stage.extracted
    data = shared.share_extracted(stage.job(), Dataset.open(stage.home / "data")).read()

    assert isinstance(data, FeatureData)
    assert stage.extracted == before
    assert {name: len(split.labels) for name, split in (("train", data.train), ("val", data.evaluate))} == ROWS
    # The store's own memory, not a copy.
    assert not any(chunk["features"].flags.writeable for chunk in data.train.chunks)


def test_the_best_machine_is_kept_and_answers_the_same(stage: Stage, resumed: Outcome) -> None:
    best = resumed.records[resumed.best[0]]
    job = stage.job().with_values(best.values)
    data = read_extracted_here(job, Dataset.open(stage.home / "data"), "cpu")
    assert isinstance(data, FeatureData)
    trial = SvmTrial(job, data)

    trial.load_state(load_state(TrialFolder(stage.home / "results" / "svm", best.number).best))

    assert trial.done == "fitted"
    assert trial.evaluate()["val/accuracy"] == best.best[0].value


def test_what_began_with_other_weights_does_not_go_on(stage: Stage, resumed: Outcome, tmp_path: Path) -> None:
    past, file = Journal.read(stage.home / "results" / "svm" / "journal.jsonl"), tmp_path / "weights.pt"
    job = stage.job().with_values({"model.features.weights": str(file)})

    shutil.copy(stage.home / "weights.pt", file)
    require_same_extraction(job, past, "svm")
    require_same_extraction(job, [], "svm")
    file.write_bytes(b"others")
    with pytest.raises(UsageError, match=r"svm began with other weights to extract with than are there now"):
        require_same_extraction(job, past, "svm")


def test_features_that_cannot_be_had_end_the_sweep_before_its_first_trial(stage: Stage) -> None:
    weights = torch.load(stage.home / "weights.pt")
    torch.save({name: value * 1e20 for name, value in weights.items()}, stage.home / "huge.pt")
    features = {"architecture": "squeezenet1_1", "weights": str(stage.home / "huge.pt")}

    with pytest.raises(DataError, match=r"row 0 of split (train|val) are not finite, nor those of \d+ other rows"):
        stage.run(stage.job(model={"name": "svm", "features": features}), "huge")


def test_a_training_by_itself_needs_no_ray(stage: Stage) -> None:
    job, before = stage.job(), stage.extracted
    training = Training(
        job=job,
        dataset=Dataset.open(stage.home / "data"),
        data=None,
        on_ray=False,
        folder=SweepFolder.create(stage.home / "results", "alone", job, None),
        tracking_uri=tracking_uri(stage.home / "results"),
    )
    record = run_training(training)

    assert (record.state, record.reason) == ("finished", "fitted")
    assert stage.extracted == before


def test_what_is_extracted_need_not_be_extracted_again_when_its_machine_dies(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what this process put into the store, and not what a task left there: who waits for it may hold the GPU."""
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    extracted = shared.share_extracted(stage.job(), Dataset.open(stage.home / "data"))
    assert {part.task_id() for part in (*extracted.train, *extracted.evaluate)} == {ray.put(0).task_id()}
    assert isinstance(extracted.read(), FeatureData)
