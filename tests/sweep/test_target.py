"""A sweep for the fewest steps to a target, of which some trials never reach it."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import mlflow
import optuna
import pytest

from trainyard.cli.printing import as_json
from trainyard.cli.progress import Progress
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.spec.tasks import STEPS_TO_TARGET
from trainyard.sweep.ledger import Ledger
from trainyard.sweep.search.study import Study
from trainyard.sweep.searcher import LedgerSearcher
from trainyard.tracking.compare import read_sweep
from trainyard.tracking.events import Event, TrialEnded, TrialEpoch, to_json

from .conftest import Bench, choice

SPACE = Space.from_dict({"parameters": {"optimizer.lr": choice(0.1, 0.2)}, "search": {"sampler": "grid"}})
STEPS = {"metric": STEPS_TO_TARGET, "mode": "min"}
ACCURACY = {"metric": "val/accuracy", "mode": "max"}


class Driver:
    """A ledger and its searcher; each trial has two epochs, as Tune tells of them."""

    def __init__(self, tmp_path: Path, job: Job, objective: object) -> None:
        target = {"metric": "val/accuracy", "value": 0.9}
        self.job = job.with_values({"training.target": target, "objective": objective})
        self.path = tmp_path / "study.db"
        self.heard: list[Event] = []
        self.ledger = Ledger(
            study=Study(self.path, name="s", job=self.job, space=SPACE),
            record=self.heard.append,
            past=(),
            job=self.job,
            stop_after_failures=3,
            listeners=[],
        )
        self.searcher = LedgerSearcher(self.ledger, concurrency=None)

    def train(self, trial: str, steps: list[float], accuracies: Sequence[float] = (0.6, 0.7)) -> None:
        self.searcher.suggest(trial)
        missing = {objective.metric: math.nan for objective in self.job.objectives}
        for epoch, (value, accuracy) in enumerate(zip(steps, accuracies, strict=True), start=1):
            done = epoch == len(steps)
            state = {
                "trainyard/state": "finished" if done else "running",
                "trainyard/reason": "all epochs",
                "trainyard/findings": [],
                "trainyard/drawn": [],
            }
            result = {**missing, "val/accuracy": accuracy, STEPS_TO_TARGET: value, "epoch": epoch, **state}
            (self.searcher.on_trial_complete if done else self.searcher.on_trial_result)(trial, result)

    def told(self) -> list[tuple[str, list[float] | None]]:
        study = optuna.load_study(study_name="s", storage=f"sqlite:///{self.path}")
        return [(trial.state.name, trial.values) for trial in study.trials]


def test_a_target_that_is_not_reached_is_told_as_no_number(tmp_path: Path, digits_job: Job) -> None:
    driver = Driver(tmp_path, digits_job, STEPS)
    driver.train("a", [math.nan, 200.0])
    driver.train("b", [math.nan, math.nan])

    reached, missed = driver.ledger.records.values()
    assert [(best.value, best.epoch) for best in reached.best] == [(200.0, 2)]
    assert (missed.state, missed.reason, missed.best) == ("finished", "all epochs; the target was not reached", ())
    assert driver.ledger.best_trials(5) == [0]
    epochs = [event.metrics for event in driver.heard if isinstance(event, TrialEpoch)]
    assert [STEPS_TO_TARGET in metrics for metrics in epochs] == [False, True, False, False]
    assert "NaN" not in "".join(map(to_json, driver.heard))


def test_optuna_is_told_that_a_missed_target_takes_infinitely_many_steps(tmp_path: Path, digits_job: Job) -> None:
    driver = Driver(tmp_path, digits_job, STEPS)
    driver.train("a", [math.nan, 200.0])
    driver.train("b", [math.nan, math.nan])
    assert driver.told() == [("COMPLETE", [200.0]), ("COMPLETE", [math.inf])]


def test_a_missed_target_beside_another_objective(tmp_path: Path, digits_job: Job) -> None:
    driver = Driver(tmp_path, digits_job, [ACCURACY, STEPS])
    driver.train("a", [100.0, 100.0])
    driver.train("b", [math.nan, math.nan])

    assert [record.state for record in driver.ledger.records.values()] == ["finished", "finished"]
    ends = [event for event in driver.heard if isinstance(event, TrialEnded)]
    assert [[best.metric for best in end.best] for end in ends] == [["val/accuracy", STEPS_TO_TARGET], ["val/accuracy"]]
    assert driver.told() == [("COMPLETE", [0.7, 100.0]), ("COMPLETE", [0.7, math.inf])]


def test_a_target_that_is_reached_after_the_best_epoch_is_reached(tmp_path: Path, digits_job: Job) -> None:
    """A target for another metric than the first objective."""
    driver = Driver(tmp_path, digits_job, [ACCURACY, STEPS])
    driver.train("a", [math.nan, 200.0], accuracies=[0.75, 0.5])

    best = [(best.metric, best.value, best.epoch) for best in driver.ledger.records[0].best]
    assert best == [("val/accuracy", 0.75, 1), (STEPS_TO_TARGET, 200.0, 2)]
    assert driver.told() == [("COMPLETE", [0.75, 200.0])]
    progress = Progress("s", [(objective.metric, objective.mode) for objective in driver.job.objectives])
    for event in driver.heard:
        progress.take(event)
    (row,) = progress.rows()
    assert (row.best_epoch, row.objectives) == (1, {"val/accuracy": 0.75, STEPS_TO_TARGET: 200.0})


@pytest.mark.cluster
def test_a_whole_sweep_for_the_fewest_steps(bench: Bench) -> None:
    target = {"metric": "val/accuracy", "value": 0.5}
    job = bench.job(training__target=target, training__steps_per_epoch=5, objective=STEPS)
    rates = bench.space({"optimizer.lr": choice(2e-2, 1e-9)}, sampler="grid")
    ran = bench.run(job, rates)

    reached, missed = (ran.outcome.records[trial] for trial in (0, 1))
    assert ran.outcome.state == "finished"
    assert (reached.state, missed.state) == ("finished", "finished")
    assert reached.best_metrics[STEPS_TO_TARGET] == 5.0 * (reached.best_epoch or 0)
    found = read_sweep(ran.uri, ran.folder.name)
    assert [(row.trial, row.objectives[STEPS_TO_TARGET]) for row in found.rows] == [
        (0, reached.best_metrics[STEPS_TO_TARGET]),
        (1, None),
    ]
    json.loads(as_json(found.to_json()))
    runs = mlflow.MlflowClient(ran.uri)
    assert STEPS_TO_TARGET not in runs.get_run(found.rows[1].run_id).data.metrics
