"""What is found to be wrong with a training, from the worker to the journal, whatever is lost in between."""

import json
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest

from trainyard.data.location import Location
from trainyard.errors import Diverged, TrialError
from trainyard.spec.job import Job
from trainyard.sweep.results.checkpoints import TrialFolder
from trainyard.sweep.slots.assignment import Assignment, EpochDone, Started
from trainyard.sweep.slots.trial_run import TrialRun
from trainyard.sweep.slots.workers import CrewLost
from trainyard.tracking.events import TrialFinding
from trainyard.training.gradients.health import Finding

from .conftest import Bench, choice
from .driver import Driver

EPOCHS = 4
DEAD = Finding(name="dead", layer="conv", reason="its gradient is exactly zero")


class FindingWorkers:
    """Trains a trial that is found dead in its second epoch.

    lost: the crew dies in the so-maniest epoch trained. raises: what the second epoch ends with.
    """

    cramped = False

    def __init__(self, lost: int | None = None, raises: type[TrialError] | None = None) -> None:
        self._lost = lost
        self._raises = raises
        self._trained = 0
        self._epochs = 0

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
        self._epochs = 0 if state is None else json.loads(state)
        history = tuple({"val/accuracy": float(epoch)} for epoch in range(1, self._epochs + 1))
        return Started(history=history, live={}, done=self._done(), findings=self._findings())

    def epoch(self) -> EpochDone:
        self._trained += 1
        if self._trained == self._lost:
            raise CrewLost("a worker of the crew died")
        self._epochs += 1
        if self._raises is not None and self._epochs == 2:
            raise self._raises("the loss is nan", findings=self._findings())
        metrics = {"val/accuracy": float(self._epochs)}
        return EpochDone(metrics=metrics, done=self._done(), findings=self._findings())

    def state(self) -> bytes:
        return json.dumps(self._epochs).encode()

    def save(self, place: Location) -> None:
        place.write_bytes(self.state())

    def stop(self) -> None:
        self._epochs = 0

    def _findings(self) -> tuple[Finding, ...]:
        return (DEAD,) if self._epochs >= 2 else ()

    def _done(self) -> str | None:
        return "all epochs" if self._epochs == EPOCHS else None


def told(job: Job, folder: TrialFolder, workers: FindingWorkers, *, reported: int = 0) -> list[tuple[int, list[str]]]:
    """The epochs of the results, each with the findings that came with it."""
    saving = job.with_values({"training.checkpoint_seconds": 0.0})
    run = TrialRun(Assignment(trial=7, reported=reported), saving, workers, folder)
    results = [run.next_result()]
    while not results[-1].done:
        results.append(run.next_result())
    return [(result.epoch, [finding.name for finding in result.findings]) for result in results]


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    return TrialFolder(tmp_path, 7)


def test_a_finding_comes_with_its_epoch_once(digits_job: Job, folder: TrialFolder) -> None:
    assert told(digits_job, folder, FindingWorkers()) == [(1, []), (2, ["dead"]), (3, []), (4, [])]


def test_a_lost_crew_neither_loses_nor_doubles_it(digits_job: Job, folder: TrialFolder) -> None:
    assert told(digits_job, folder, FindingWorkers(lost=3)) == [(1, []), (2, ["dead"]), (3, []), (4, [])]


@pytest.mark.parametrize("raises", [TrialError, Diverged])
def test_what_is_found_in_the_epoch_that_ends_the_trial_comes_with_its_end(
    digits_job: Job, folder: TrialFolder, raises: type[TrialError]
) -> None:
    assert told(digits_job, folder, FindingWorkers(raises=raises)) == [(1, []), (1, ["dead"])]


def test_another_trials_weights_bring_along_what_was_found_in_them(digits_job: Job, folder: TrialFolder) -> None:
    run = TrialRun(Assignment(trial=7, reported=1), digits_job, FindingWorkers(), folder)
    run.restore(b"3")
    assert [finding.name for finding in run.next_result().findings] == ["dead"]


def test_what_a_checkpoint_knows_is_told_to_the_next_driver(digits_job: Job, folder: TrialFolder) -> None:
    folder.last.write_bytes(b"3")
    assert told(digits_job, folder, FindingWorkers(), reported=3) == [(4, ["dead"])]


def findings_of(driver: Driver) -> list[TrialFinding]:
    return [event for event in driver.heard if isinstance(event, TrialFinding)]


def test_the_ledger_takes_a_finding_once_also_after_a_crash(tmp_path: Path, digits_job: Job) -> None:
    first = Driver(tmp_path, digits_job)
    first.ledger.propose()
    for _ in range(2):
        first.ledger.finding(0, DEAD)
    first.journal.close()
    second = Driver(tmp_path, digits_job)
    second.ledger.propose()
    second.ledger.finding(0, DEAD)
    second.ledger.finding(0, Finding(name="stalled", layer="fc", reason="nothing moves"))
    assert [str(event) for event in findings_of(first)] == ["dead in layer conv: its gradient is exactly zero"]
    assert [event.finding for event in findings_of(second)] == ["stalled"]


@pytest.mark.cluster
def test_a_sweep_names_what_is_wrong_and_tells_optuna_of_explosions(bench: Bench) -> None:
    settings = {"training__gradients__patience": 20, "optimizer__weight_decay": 0.0}
    job = bench.job(training__epochs=4, **settings)
    space = bench.space({"optimizer.lr": choice(1e-12, 1e9, 1e15)}, sampler="grid", trials=3)
    ran = bench.run(job, space)
    by_rate = {record.values["optimizer.lr"]: record for record in ran.outcome.records.values()}
    stalled, exploded, lost = by_rate[1e-12], by_rate[1e9], by_rate[1e15]

    assert [record.state for record in (stalled, exploded, lost)] == ["finished", "diverged", "diverged"]
    assert exploded.reason.startswith("exploding, layer linear: the loss is ")
    assert "; layer linear stood out: " in lost.reason
    study = optuna.load_study(study_name=ran.folder.name, storage=f"sqlite:///{ran.folder.study}")
    told = [study.trials[record.number].state.name for record in (stalled, exploded, lost)]
    assert told == ["COMPLETE", "PRUNED", "FAIL"]  # of the last one no epoch came to its end

    (finding,) = [event for event in ran.events if isinstance(event, TrialFinding)]
    assert (finding.trial, finding.finding, finding.layer) == (stalled.number, "stalled", "linear")
    client = mlflow.MlflowClient(ran.uri)
    (experiment,) = client.search_experiments(filter_string="name = 'digits-nets'")
    condition = f"tags.`trainyard.sweep` = '{ran.folder.name}' AND tags.`trainyard.trial` = '{stalled.number}'"
    (run,) = client.search_runs([experiment.experiment_id], condition)
    assert run.data.tags["health/stalled"] == f"layer linear: {finding.reason}"
    assert run.data.metrics["gradients/linear/update"] < 1e-8
