"""A folder with jobs, spaces and the digits to run commands in, and events of a sweep to show."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from trainyard.cli.main import run
from trainyard.sweep.plan import Plan
from trainyard.tracking.events import (
    Best,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialStarted,
    TrialState,
)

ROOT = Path(__file__).parent.parent.parent
OBJECTIVES = [("val/accuracy", "max")]


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests must not reach the commands."""
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS", "TRAINYARD_RESULTS", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs a command in this process: `cli("check", "job.yaml")`."""

    def call(*arguments: str) -> Answer:
        code = run(list(arguments))
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture
def place(tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `jobs/`, `search_spaces/` and `data/digits` as in the repository."""
    for name in ("jobs", "search_spaces"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "digits").symlink_to(digits)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plan() -> Plan:
    """Four trials of eight epochs on two slots."""
    return Plan(
        slots=2,
        workers=(1, 1),
        trials=4,
        epochs_per_trial=8,
        rungs=(2,),
        expected_epochs=16,
        cpus=2,
        gpus=0,
        cluster_cpus=2,
        cluster_gpus=0,
    )


def sweep_started(time: float = 0.0, objectives: list[tuple[str, str]] = OBJECTIVES) -> SweepStarted:
    return SweepStarted(name="sweep", job={}, objectives=objectives, time=time)


def trained(
    trial: int, accuracies: list[float], state: TrialState = "finished", reason: str = "", start: float = 0.0
) -> list[Event]:
    """A trial with one epoch a second."""
    values = {"optimizer.lr": 10 ** -(trial + 1), "model.dropout": 0.125 * trial}
    events: list[Event] = [TrialStarted(trial=trial, values=values, time=start)]
    events += [
        TrialEpoch(trial=trial, epoch=epoch, metrics={"val/accuracy": value}, time=start + epoch)
        for epoch, value in enumerate(accuracies, 1)
    ]
    best = [Best(metric="val/accuracy", value=max(accuracies), epoch=1)] if accuracies else []
    ended = TrialEnded(trial=trial, state=state, reason=reason, best=best, time=start + len(accuracies))
    return [*events, ended]


@pytest.fixture
def events() -> list[Event]:
    """A sweep of four trials, one of each end."""
    return [
        sweep_started(),
        *trained(0, [0.5, 0.7, 0.9]),
        *trained(1, [0.25], "pruned", "stopped by the scheduler", start=3),
        *trained(2, [], "failed", "ValueError: no layer\n called head (nets.py:41)", start=4),
        *trained(3, [0.5], "diverged", "the loss is NaN in epoch 2", start=5),
        SweepEnded(state="finished", time=61.0),
    ]


@pytest.fixture
def many_values() -> list[Event]:
    """Two running trials with more values than a narrow terminal has room for."""
    draw = random.Random(0)
    paths = [
        "optimizer.lr",
        "model.dropout",
        "loss.cross_entropy.weight",
        "loss.focal.weight",
        "augmentations.rotate.degrees",
        "augmentations.translate.fraction",
        "loss.cross_entropy.label_smoothing",
    ]
    return [
        sweep_started(),
        *(TrialStarted(trial=trial, values={path: draw.random() for path in paths}, time=0.0) for trial in range(2)),
        TrialEpoch(trial=0, epoch=3, metrics={"val/accuracy": 0.75}, time=3.0),
    ]
