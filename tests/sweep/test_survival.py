"""The driver itself is killed or interrupted, and the sweep goes on by the command that it names."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mlflow
import optuna
import psutil
import pytest

from trainyard.spec.job import Job
from trainyard.tracking.events import TrialEnded, TrialEpoch
from trainyard.tracking.journal import Journal

pytestmark = [pytest.mark.own_cluster, pytest.mark.timeout(300)]

SPACE = """
parameters:
  optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}
search: {sampler: random, trials: 6}
"""

NAME = "victim"

AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Ray's own helpers, which hold nothing of ours: they tell the dead cluster for two minutes that it died, then end."""


class Place:
    """A folder with a job and a space, and the commands of a user who sits there."""

    def __init__(self, home: Path, job: Job, digits: Path) -> None:
        self.home = home
        self.results = home / "results"
        changes = {"data.path": str(digits), "training.epochs": 20, "training.checkpoint_seconds": 0.0}
        (home / "job.yaml").write_text(job.with_values(changes).to_yaml())
        (home / "space.yaml").write_text(SPACE)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        # With one slot: each is half a minute's start, and three drivers have theirs.
        command = [sys.executable, "-m", "trainyard", "sweep", *arguments, "--results", "results", "--cpus", "1"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "RAY_"))}
        return subprocess.Popen(
            command, cwd=self.home, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    @property
    def journal(self) -> Path:
        return self.results / NAME / "journal.jsonl"

    def wait_for(self, condition: Callable[[list[object]], bool], process: subprocess.Popen[str]) -> None:
        """Until the journal fulfils the condition."""
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            if self.journal.exists() and condition(list(Journal.read(self.journal))):
                return
            time.sleep(0.05)
        raise AssertionError(f"the sweep did not come so far: {process.communicate()[0] if process.poll() else ''}")

    def statuses(self) -> Counter[str]:
        """MLflow's states of the trials."""
        client = mlflow.MlflowClient(f"sqlite:///{self.results / 'mlflow.db'}")
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = [run for run in client.search_runs(experiments) if "trainyard.trial" in run.data.tags]
        assert len({run.data.tags["trainyard.trial"] for run in runs}) == len(runs)
        for run in runs:
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "val/accuracy")]
            assert len(steps) == len(set(steps))
        return Counter(run.info.status for run in runs)

    def assert_complete(self) -> None:
        """Every trial is there once, with every epoch once, in the journal, in Optuna and in MLflow."""
        events = Journal.read(self.journal)
        assert Counter(event.trial for event in events if isinstance(event, TrialEnded)) == Counter(range(6))
        epochs = Counter((event.trial, event.epoch) for event in events if isinstance(event, TrialEpoch))
        assert epochs == Counter((trial, epoch) for trial in range(6) for epoch in range(1, 21))
        study = optuna.load_study(study_name=NAME, storage=f"sqlite:///{self.results / NAME / 'study.db'}")
        assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 6
        assert self.statuses() == Counter({"FINISHED": 6})


@pytest.fixture
def place(tmp_path: Path, digits_job: Job, digits: Path) -> Place:
    return Place(tmp_path, digits_job, digits)


def half_way(trials: int) -> Callable[[list[object]], bool]:
    """So many trials are over, and others in their middle."""

    def reached(events: list[object]) -> bool:
        ended = {event.trial for event in events if isinstance(event, TrialEnded)}
        under_way = {event.trial for event in events if isinstance(event, TrialEpoch) and event.epoch > 3} - ended
        return len(ended) >= trials and bool(under_way)

    return reached


def test_a_sweep_survives_ctrl_c_and_the_death_of_its_driver(place: Place) -> None:
    """One after the other: each driver goes on where the one before it was stopped."""
    process = place.start("job.yaml", "space.yaml", "--name", NAME)
    place.wait_for(half_way(1), process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert f"Resume with: trainyard sweep --resume {NAME}" in output
    assert "Traceback" not in output
    assert "RUNNING" not in place.statuses()
    assert list((place.results / NAME / "trials").glob("*/last.pt")), "there is nothing to go on from"

    process = place.start("--resume", NAME)
    place.wait_for(half_way(3), process)
    family = [child for child in psutil.Process(process.pid).children(recursive=True) if child.name() not in AGENTS]
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive, "the killed driver left processes behind"

    resumed = place.start("--resume", NAME, "--format", "json")
    output, _ = resumed.communicate(timeout=200)
    assert resumed.returncode == 0, output
    said = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [line["event"] for line in said[:2]] == ["plan", "sweep_started"]
    assert (said[-1]["event"], said[-1]["trials"]) == ("summary", {"finished": 6})
    place.assert_complete()
