"""Schedulers judge by epochs, and go on judging by the past after a resume."""

import random
from typing import Any

import pytest

from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.record import TrialRecord
from trainyard.sweep.search.population import perturbed
from trainyard.sweep.search.schedulers import PastTrial, build_scheduler, remember

LR: dict[str, Any] = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}


def scheduler_of(digits_job: Job, settings: Any) -> Any:
    job = digits_job.with_values({"training.epochs": 9})
    return build_scheduler(job, Space.from_dict({"parameters": LR, "search": {"scheduler": settings}}))


def past(digits_job: Job, accuracies: list[float]) -> list[tuple[TrialRecord, list[dict[str, float]]]]:
    """Ended trials of three epochs each, with the same accuracy in all."""
    return [
        (
            TrialRecord(number, {}, digits_job.objectives),
            [{"epoch": epoch, "val/accuracy": accuracy} for epoch in (1, 2, 3)],
        )
        for number, accuracy in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    "settings", [{"name": "asha", "grace": 1, "reduction_factor": 3}, {"name": "median", "grace": 1}]
)
@pytest.mark.parametrize(("accuracy", "decision"), [(0.1, "STOP"), (0.99, "CONTINUE")])
def test_the_past_is_remembered(digits_job: Job, settings: Any, accuracy: float, decision: str) -> None:
    scheduler = scheduler_of(digits_job, settings)
    remember(scheduler, past(digits_job, [0.5, 0.6, 0.7, 0.8]))
    trial = PastTrial("new")
    scheduler.on_trial_add(None, trial)
    assert scheduler.on_trial_result(None, trial, {"epoch": 1, "val/accuracy": accuracy}) == decision


def test_without_a_past_the_first_trial_goes_on(digits_job: Job) -> None:
    scheduler = scheduler_of(digits_job, {"name": "asha", "grace": 1, "reduction_factor": 3})
    trial = PastTrial("new")
    scheduler.on_trial_add(None, trial)
    assert scheduler.on_trial_result(None, trial, {"epoch": 1, "val/accuracy": 0.1}) == "CONTINUE"


def test_time_is_the_epoch_not_the_count_of_results(digits_job: Job) -> None:
    scheduler = scheduler_of(digits_job, {"name": "asha", "grace": 2, "reduction_factor": 3})
    remember(scheduler, past(digits_job, [0.5, 0.6, 0.7, 0.8]))
    trial = PastTrial("new")
    scheduler.on_trial_add(None, trial)
    bad = {"val/accuracy": 0.1, "training_iteration": 5}
    assert scheduler.on_trial_result(None, trial, {**bad, "epoch": 1}) == "CONTINUE"
    assert scheduler.on_trial_result(None, trial, {**bad, "epoch": 2}) == "STOP"


def test_a_changed_point_of_a_population_is_near_and_valid(digits_job: Job, digits_space: Space) -> None:
    generator = random.Random(0)
    values = dict(digits_space.resolve(digits_job, lambda dim: dim.middle).values)
    moved = 0
    for _ in range(200):
        changed = perturbed(digits_space, digits_job, values, generator)
        digits_job.with_values(changed)
        assert changed["loss.cross_entropy.weight"] + changed["loss.focal.weight"] == pytest.approx(1)
        moved += changed["optimizer.lr"] in (values["optimizer.lr"] * 1.2, values["optimizer.lr"] * 0.8)
    assert 120 < moved < 180
