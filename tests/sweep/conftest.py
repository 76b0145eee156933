"""Sweeps on the shared Ray, of models that misbehave on purpose."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trainyard.data.dataset import Dataset
from trainyard.data.loading import plan_data
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.run import Outcome, Sweep, run_sweep
from trainyard.sweep.train import Training, run_training
from trainyard.tracking.events import Event
from trainyard.tracking.uri import tracking_uri

NETS = """
    import os, signal, time
    from pathlib import Path
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, image, outputs, fault, level, mark):
            super().__init__()
            channels, height, width = image
            self.linear = nn.Linear(channels * height * width, outputs)
            self.fault, self.level, self.mark, self.steps = fault, level, mark, 0

        def forward(self, images):
            self.steps += self.training
            if self.level > 0.5 and self.steps == 30:  # in the second epoch
                self.misbehave()
            output = self.linear(images.flatten(1))
            return output * float("nan") if self.fault == "nan" and self.level > 0.5 and self.steps >= 30 else output

        def misbehave(self):
            rank = int(os.environ.get("RANK", "0"))
            if self.fault == "raise":
                raise ValueError("on purpose")
            if self.fault == "raise on rank 1" and rank == 1:
                raise ValueError("on purpose, on rank 1")
            if self.fault == "wait for another":
                Path(f"{self.mark}-{os.getpid()}").touch()
                end = time.monotonic() + 120
                while len(list(Path(self.mark).parent.glob("mark-*"))) < 2 and time.monotonic() < end:
                    time.sleep(0.1)
            if self.fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "die once" and rank == int(os.environ.get("WORLD_SIZE", "1")) - 1:
                try:
                    Path(self.mark).touch(exist_ok=False)
                except FileExistsError:
                    return
                os.kill(os.getpid(), signal.SIGKILL)

    def build(image, outputs, fault="none", level=0.0, mark="", **unused):
        return Net(image, outputs, fault, level, mark)
"""

LEVELS = {"optimizer.lr": {"type": "float", "low": 1e-3, "high": 1e-2, "log": True}}


@dataclass
class Ran:
    """A sweep that ran: its outcome, its events, and where it lies."""

    outcome: Outcome
    events: list[Event]
    folder: SweepFolder
    uri: str


@dataclass
class Bench:
    """Runs sweeps of small jobs on the digits, on the shared Ray."""

    home: Path
    digits: Path
    nodes: list[dict[str, float]]
    names: list[str] = field(default_factory=list)

    def job(self, **values: Any) -> Job:
        """A linear model on the digits that `nets.py` builds; values by path, with `__` for the dot."""
        job = {
            "name": "digits-nets",
            "task": "classification",
            "data": {"path": str(self.digits)},
            "model": {
                "name": "nets:build",
                "fault": "none",
                "level": 0.0,
                "mark": str(self.home / "mark"),
                "extra": 0.0,
            },
            "loss": {"cross_entropy": {"weight": 1.0}},
            "optimizer": {"name": "adamw", "lr": 2e-3},
            "training": {"epochs": 3, "batch_size": 64, "checkpoint_seconds": 0.0},
            "objective": {"metric": "val/accuracy", "mode": "max"},
        }
        changed = Job.from_dict(job).with_values({path.replace("__", "."): value for path, value in values.items()})
        return Job.from_dict(changed.to_dict(), directory=self.home)

    def space(self, parameters: dict[str, Any] | None = None, **search: Any) -> Space:
        """Searched by one slot unless the test is about several: each takes 10 s of CPU to start."""
        settings = {"sampler": "random", "trials": 3, "max_concurrent": 1, **search}
        return Space.from_dict({"parameters": parameters or LEVELS, "search": settings})

    def run(self, job: Job, space: Space, *, listeners: Sequence[Callable[[Event], None]] = ()) -> Ran:
        name = f"sweep-{len(self.names)}"
        self.names.append(name)
        folder = SweepFolder.create(self.home / "results", name, job, space)
        return self.go_on(job, space, folder, listeners=listeners)

    def go_on(
        self, job: Job, space: Space, folder: SweepFolder, *, listeners: Sequence[Callable[[Event], None]] = ()
    ) -> Ran:
        uri = tracking_uri(self.home / "results")
        sweep = Sweep(job=job, space=space, dataset=Dataset.open(self.digits), folder=folder, tracking_uri=uri)
        events: list[Event] = []
        outcome = run_sweep(sweep, self.nodes, listeners=[events.append, *listeners])
        return Ran(outcome, events, folder, uri)

    def train(self, job: Job) -> list[Event]:
        """The events of one training in this process."""
        name = f"training-{len(self.names)}"
        self.names.append(name)
        dataset = Dataset.open(self.digits)
        training = Training(
            job=job,
            dataset=dataset,
            data=plan_data(dataset.manifest, job.data, free=2**30, where="this memory"),
            on_ray=False,
            folder=SweepFolder.create(self.home / "results", name, job, None),
            tracking_uri=tracking_uri(self.home / "results"),
        )
        events: list[Event] = []
        run_training(training, listeners=[events.append])
        return events


def choice(*values: Any) -> dict[str, Any]:
    """A parameter that a grid goes through."""
    return {"type": "categorical", "choices": list(values)}


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory, digits: Path, ray_nodes: list[dict[str, float]]) -> Bench:
    home = tmp_path_factory.mktemp("bench")
    (home / "nets.py").write_text(textwrap.dedent(NETS))
    return Bench(home=home, digits=digits, nodes=ray_nodes)
