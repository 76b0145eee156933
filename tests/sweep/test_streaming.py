"""Streamed splits where they are trained on: alone, and by a crew that holds all CPUs."""

import json
import shutil
import textwrap
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from trainyard.data.dataset import Dataset
from trainyard.data.source import Example
from trainyard.data.writer import write_dataset
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.plan import make_data_plan
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.run import Outcome, Sweep, run_sweep
from trainyard.sweep.train import Training, run_training
from trainyard.tracking.uri import tracking_uri

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

TRAIN, VAL, BATCH = 1130, 77, 64
SEEN = """
    import json, os
    from pathlib import Path
    from torch import nn

    class Seen(nn.Module):
        '''Writes down the rows that it is given: an image's two pixels are its number.'''

        def __init__(self, folder):
            super().__init__()
            self.linear = nn.Linear(2, 2)
            self.file = Path(folder) / f"{os.environ.get('RANK', '0')}-{os.getpid()}"

        def forward(self, images):
            pixels = (images[:, 0, 0] * 255).round().int()
            line = {"training": self.training, "rows": (pixels[:, 0] * 256 + pixels[:, 1]).tolist()}
            with self.file.open("a") as file:
                file.write(json.dumps(line) + "\\n")
            return self.linear(images.flatten(1))

    def build(image, outputs, folder, **unused):
        return Seen(folder)
"""

UNMOUNTING = """
    import contextlib
    from pathlib import Path
    from torch import nn

    class Unmounting(nn.Linear):
        '''Moves the data set away when it is trained, once.'''

        def forward(self, images):
            if self.training and not self.elsewhere.exists():
                with contextlib.suppress(OSError):
                    self.place.rename(self.elsewhere)
            return super().forward(images.flatten(1))

    def build(image, outputs, place, elsewhere, **unused):
        net = Unmounting(2, 2)
        net.place, net.elsewhere = Path(place), Path(elsewhere)
        return net
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of numbered rows, and the model that writes them down. Rows to evaluate on count from 20,000."""
    home = tmp_path_factory.mktemp("streaming")
    (home / "seen.py").write_text(textwrap.dedent(SEEN))
    (home / "unmounting.py").write_text(textwrap.dedent(UNMOUNTING))
    examples = [
        Example(name=f"{row}", split=split, image=np.array([[*divmod(row, 256)]], np.uint8), label=row % 2)
        for split, rows in (("train", range(TRAIN)), ("val", range(20_000, 20_000 + VAL)))
        for row in rows
    ]
    write_dataset(home / "data", examples, annotation="label", classes=("even", "odd"), source="tests")
    return home


def job_for(home: Path, folder: Path, **sections: Any) -> Job:
    job = {
        "name": "seen",
        "task": "classification",
        "data": {"path": str(home / "data"), "loading": "streamed"},
        "model": {"name": "seen:build", "folder": str(folder), "level": 0.0},
        "loss": {"cross_entropy": {}},
        "optimizer": {"name": "sgd", "lr": 1e-3},
        "training": {"epochs": 2, "batch_size": BATCH, "last_batch": "pad"},
        "objective": {"metric": "val/accuracy", "mode": "max"},
    }
    return Job.from_dict(job | sections, directory=home)


def rows_seen(folder: Path) -> dict[tuple[str, bool], list[int]]:
    """By rank and whether they were trained on; without those that the model was tried out on."""
    seen: dict[tuple[str, bool], list[int]] = {}
    for file in folder.iterdir():
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            if len(line["rows"]) != 2 or line["training"]:
                seen.setdefault((file.name.partition("-")[0], line["training"]), []).extend(line["rows"])
    return seen


def new_sweep(job: Job, home: Path) -> Sweep:
    """With one trial."""
    parameters = {"model.level": {"type": "float", "low": 0.0, "high": 1.0}}
    space = Space.from_dict({"parameters": parameters, "search": {"sampler": "random", "trials": 1}})
    folder = SweepFolder.create(home / "results", f"sweep-{uuid4().hex[:8]}", job, space)
    dataset, uri = Dataset.open(job.data.path), tracking_uri(home / "results")
    return Sweep(job=job, space=space, dataset=dataset, folder=folder, tracking_uri=uri)


def states(outcome: Outcome) -> list[str]:
    return [record.state for record in outcome.records.values()]


def swept(job: Job, home: Path, nodes: list[dict[str, float]]) -> list[str]:
    """The state in which the trial of a sweep ended."""
    outcome = run_sweep(new_sweep(job, home), nodes)
    assert outcome.reason == ""
    return states(outcome)


def test_a_training_by_itself(home: Path, tmp_path: Path, ray_nodes: list[dict[str, float]]) -> None:
    job, dataset = job_for(home, tmp_path), Dataset.open(home / "data")
    training = Training(
        job=job,
        dataset=dataset,
        data=make_data_plan(job, dataset.manifest, ray_nodes),
        on_ray=True,
        folder=SweepFolder.create(home / "results", "alone", job, None),
        tracking_uri=tracking_uri(home / "results"),
    )
    assert run_training(training).state == "finished"
    seen = rows_seen(tmp_path)
    assert np.bincount(seen["0", True], minlength=TRAIN).min() == 2
    assert sorted(seen["0", False]) == sorted(2 * list(range(20_000, 20_000 + VAL)))


def test_two_workers_see_each_row_once_an_epoch(home: Path, tmp_path: Path, ray_nodes: list[dict[str, float]]) -> None:
    job = job_for(home, tmp_path, resources={"workers": 2})
    assert swept(job, home, ray_nodes) == ["finished"]
    seen = rows_seen(tmp_path)
    steps = -(-TRAIN // BATCH)
    assert [len(seen[rank, True]) for rank in "01"] == [2 * steps * BATCH // 2] * 2
    times = np.bincount(seen["0", True] + seen["1", True], minlength=TRAIN)
    assert times.min() == 2
    assert times.sum() == 2 * steps * BATCH  # the last batch is filled up with rows at the epoch's beginning
    assert sorted(seen["0", False] + seen["1", False]) == sorted(2 * list(range(20_000, 20_000 + VAL)))


@pytest.mark.slow
def test_a_sweep_whose_data_goes_away_stops_and_goes_on_when_it_is_back(
    home: Path, tmp_path: Path, ray_nodes: list[dict[str, float]]
) -> None:
    place, elsewhere = tmp_path / "data", tmp_path / "unmounted"
    shutil.copytree(home / "data", place)
    sections: dict[str, Any] = {
        "data": {"path": str(place), "loading": "streamed"},
        "model": {"name": "unmounting:build", "place": str(place), "elsewhere": str(elsewhere), "level": 0.0},
        "resources": {"workers": 2},
    }
    sweep = new_sweep(job_for(home, tmp_path, **sections), tmp_path)
    outcome = run_sweep(sweep, ray_nodes)
    assert outcome.state == "failed"
    assert outcome.reason.startswith("no trial can train: ")
    assert f"does not see the data set {place}. " in outcome.reason
    assert states(outcome) == ["running"]
    elsewhere.rename(place)
    elsewhere.mkdir()  # so that it can't be moved there again
    assert states(run_sweep(sweep, ray_nodes)) == ["finished"]
