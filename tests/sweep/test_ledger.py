"""The ledger between journal, Optuna and listeners, and what it makes of them after a crash."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from trainyard.spec.job import Job
from trainyard.sweep.search.study import Study
from trainyard.tracking.events import TrialEnded, TrialEpoch, TrialStarted
from trainyard.tracking.journal import Journal

from .driver import SPACE, Driver


def optuna_states(tmp_path: Path) -> list[str]:
    return [
        t.state.name for t in optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path / 'study.db'}").trials
    ]


def test_what_happens_is_heard_in_order(tmp_path: Path, digits_job: Job) -> None:
    driver = Driver(tmp_path, digits_job)
    driver.ledger.propose()
    driver.train(0, 0.5, 0.7)
    driver.ledger.end(0, "finished", "all epochs")
    assert [type(event) for event in driver.heard] == [TrialStarted, TrialEpoch, TrialEpoch, TrialEnded]
    assert Journal.read(tmp_path / "journal.jsonl") == driver.heard


def test_an_epoch_or_an_end_is_taken_once(tmp_path: Path, digits_job: Job) -> None:
    driver = Driver(tmp_path, digits_job)
    driver.ledger.propose()
    driver.train(0, 0.5, 0.7)
    driver.train(0, 0.1, 0.1)
    driver.ledger.end(0, "pruned", "")
    driver.ledger.end(0, "failed", "")
    assert len(driver.heard) == 4
    assert driver.ledger.records[0].state == "pruned"


def test_the_best_epoch_is_told_not_the_last(tmp_path: Path, digits_job: Job) -> None:
    driver = Driver(tmp_path, digits_job)
    driver.ledger.propose()
    driver.train(0, 0.5, 0.9, 0.7)
    driver.ledger.end(0, "finished", "all epochs")
    (best,) = driver.ledger.records[0].best
    assert (best.value, best.epoch) == (0.9, 2)


def test_an_objective_that_never_was_a_number_is_no_finish(tmp_path: Path, digits_job: Job) -> None:
    driver = Driver(tmp_path, digits_job)
    driver.ledger.propose()
    driver.train(0, float("nan"), float("nan"))
    driver.ledger.end(0, "finished", "all epochs")
    assert driver.ledger.records[0].state == "diverged"
    assert driver.ledger.records[0].reason == "val/accuracy was never a finite number"


def test_after_a_crash_unfinished_trials_come_first_and_keep_their_epochs(tmp_path: Path, digits_job: Job) -> None:
    before = Driver(tmp_path, digits_job)
    before.ledger.propose()
    second = before.ledger.propose()
    before.train(0, 0.5)
    before.ledger.end(0, "finished", "all epochs")
    before.train(1, 0.3, 0.4)
    before.die()
    after = Driver(tmp_path, digits_job)
    assignment = after.ledger.propose()
    assert assignment is not None
    assert second is not None
    assert (assignment.trial, assignment.reported, assignment.values) == (1, 2, second.values)
    assert after.ledger.propose().trial == 2  # type: ignore[union-attr]


def test_an_end_that_only_the_journal_knows_is_told_to_optuna(tmp_path: Path, digits_job: Job) -> None:
    before = Driver(tmp_path, digits_job)
    before.ledger.propose()
    before.train(0, 0.5)
    before.journal.append(TrialEnded(trial=0, state="finished", reason="all epochs"))
    before.die()
    assert optuna_states(tmp_path) == ["RUNNING"]
    Driver(tmp_path, digits_job)
    assert optuna_states(tmp_path) == ["COMPLETE"]


def test_a_trial_that_optuna_knows_and_the_journal_does_not_is_trained(tmp_path: Path, digits_job: Job) -> None:
    Study(tmp_path / "study.db", name="s", job=digits_job, space=SPACE).ask()
    driver = Driver(tmp_path, digits_job)
    assert driver.ledger.remaining == 4
    assert [driver.ledger.propose().trial for _ in range(4)] == [0, 1, 2, 3]  # type: ignore[union-attr]
    assert driver.ledger.propose() is None


def test_the_ranking_knows_ended_trials_only_and_the_first_of_equals(tmp_path: Path, digits_job: Job) -> None:
    driver = Driver(tmp_path, digits_job)
    for trial, accuracy in enumerate((0.7, 0.9, 0.7, 0.99)):
        driver.ledger.propose()
        driver.train(trial, accuracy)
    for trial in (0, 1, 2):
        driver.ledger.end(trial, "finished", "")
    assert driver.ledger.best_trials(3) == [1, 0, 2]


@pytest.mark.parametrize(
    ("ends", "hopeless"),
    [
        ([("failed", "no layer 3"), ("failed", "no layer 7"), ("failed", "no layer 3")], True),
        ([("failed", "no layer 3"), ("failed", "out of memory"), ("failed", "no layer 3")], False),
        ([("failed", "x"), ("finished", ""), ("failed", "x"), ("failed", "x")], False),
        ([("diverged", "nan"), ("diverged", "nan"), ("diverged", "nan")], False),
    ],
)
def test_a_sweep_is_hopeless_when_its_first_trials_all_failed_alike(
    tmp_path: Path, digits_job: Job, ends: list[tuple[Any, str]], hopeless: bool
) -> None:
    driver = Driver(tmp_path, digits_job)
    for trial, (state, reason) in enumerate(ends):
        driver.ledger.propose()
        driver.train(trial, 0.5)
        driver.ledger.end(trial, state, reason)
    expected = "the first 3 trials all failed for the same reason: no layer 3" if hopeless else None
    assert driver.ledger.hopeless == expected
