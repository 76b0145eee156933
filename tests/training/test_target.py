"""Epochs of so many steps, and the steps that it takes to reach a target."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainyard.data.split import TrialData
from trainyard.errors import DataError
from trainyard.spec.job import Job
from trainyard.spec.tasks import STEPS_TO_TARGET
from trainyard.training import checkpoint
from trainyard.training.target import StepsToTarget
from trainyard.training.trial import Trial

MakeJob = Callable[..., Job]
ACCURACY = {"metric": "val/accuracy", "value": 0.5}


def reported(make_job: MakeJob, metric: str, value: float, epochs: list[float]) -> list[float | None]:
    """Of epochs of 7 steps with these values of the metric."""
    job = make_job(training={"target": {"metric": metric, "value": value}})
    steps, history = StepsToTarget(job, steps_per_epoch=7), list[dict[str, float]]()
    for measured in epochs:
        history.append({metric: measured} | steps.of({metric: measured}, history))
    return [metrics.get(STEPS_TO_TARGET) for metrics in history]


@pytest.mark.parametrize(
    ("metric", "epochs", "steps"),
    [
        ("val/accuracy", [0.3, 0.5, 0.4, 0.9], [None, 14, 14, 14]),
        ("val/loss", [0.7, 0.6, 0.5, 0.4], [None, None, 21, 21]),
        ("val/recall/a", [0.6, 0.1], [7, 7]),
        ("val/accuracy", [float("nan"), 0.5], [None, 14]),
        ("val/accuracy", [0.1, 0.2], [None, None]),
    ],
    ids=["more is better", "less is better", "of a class", "no number", "never"],
)
def test_the_steps_are_those_until_the_target_was_first_reached(
    make_job: MakeJob, metric: str, epochs: list[float], steps: list[float | None]
) -> None:
    assert reported(make_job, metric, 0.5, epochs) == steps


def test_without_a_target_there_are_no_steps_to_it(make_job: MakeJob) -> None:
    assert StepsToTarget(make_job(), steps_per_epoch=7).of({"val/accuracy": 1.0}, []) == {}


def test_epochs_of_so_many_steps_reach_a_target_after_whole_epochs(make_job: MakeJob, data: TrialData) -> None:
    trial = Trial(make_job(training={"epochs": 12, "steps_per_epoch": 3, "target": ACCURACY}), data)
    while not trial.done:
        trial.epoch()
    accuracies = [metrics["val/accuracy"] for metrics in trial.history]
    first = next(epoch for epoch, accuracy in enumerate(accuracies, start=1) if accuracy >= 0.5)
    assert 1 < first < 12
    wanted = [None if epoch < first else 3.0 * first for epoch in range(1, 13)]
    assert [metrics.get(STEPS_TO_TARGET) for metrics in trial.history] == wanted


def test_a_trial_that_goes_on_knows_when_the_target_was_reached(
    make_job: MakeJob, data: TrialData, tmp_path: Any
) -> None:
    job = make_job(training={"epochs": 4, "steps_per_epoch": 2, "target": {"metric": "val/accuracy", "value": 0.0}})
    first = Trial(job, data)
    first.epoch()
    checkpoint.save_state(tmp_path / "state", first.state())
    resumed = Trial(job, data)
    resumed.load_state(checkpoint.load_state(tmp_path / "state"))
    assert resumed.epoch()[STEPS_TO_TARGET] == 2.0


def test_short_epochs_train_as_many_steps_as_they_say(make_job: MakeJob, data: TrialData) -> None:
    trial = Trial(make_job(training={"epochs": 3, "steps_per_epoch": 4, "batch_size": 15}), data)
    batches = [list(trial._training.batches(epoch)) for epoch in (1, 2)]
    assert [len(found) for found in batches] == [4, 4]
    assert all(len(batch["label"]) == 15 for found in batches for batch in found)
    assert trial._training.steps == 4


def test_a_schedule_spans_the_short_epochs(make_job: MakeJob, data: TrialData) -> None:
    job = make_job(
        training={"epochs": 5, "steps_per_epoch": 2},
        optimizer={"name": "sgd", "lr": 1.0},
        schedule={"name": "cosine", "final_fraction": 0.0},
    )
    trial = Trial(job, data)
    rates = [trial.epoch()["optimizer/lr"] for _ in range(5)]
    last = [1.0, 3.0, 5.0, 7.0, 9.0]
    wanted = torch.cos(torch.tensor(last) / 9 * torch.pi).add(1).div(2).tolist()
    assert rates == pytest.approx(wanted, abs=1e-6)
    assert trial.live_values()["training.steps_per_epoch"] == 2


def test_more_steps_than_a_pass_has(make_job: MakeJob, data: TrialData) -> None:
    with pytest.raises(DataError, match=r"training.steps_per_epoch must be <= .* got steps_per_epoch=10, a pass=9\."):
        Trial(make_job(training={"steps_per_epoch": 10}), data)
