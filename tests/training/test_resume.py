"""A trial goes on from its state as if nothing had happened; another trial's state brings no settings along."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainyard.data.split import TrialData
from trainyard.errors import RunError
from trainyard.spec.job import Job
from trainyard.training import checkpoint
from trainyard.training.trial import Trial

MakeJob = Callable[..., Job]
SECTIONS = {"augmentations": {"rotate": {"degrees": 20}}, "schedule": {"name": "one_cycle"}}


def without_seconds(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("seconds/")}


def weights_of(trial: Trial) -> dict[str, torch.Tensor]:
    return trial.state()["learner"]["model"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_going_on_from_a_checkpoint_is_going_on(
    make_job: MakeJob, data: TrialData, tmp_path: Path, optimizer: str
) -> None:
    job = make_job(optimizer={"name": optimizer, "lr": 0.01}, **SECTIONS)
    uninterrupted = Trial(job, data)
    for _ in range(2):
        uninterrupted.epoch()
    checkpoint.save_state(tmp_path / "state", uninterrupted.state())
    resumed = Trial(job, data)
    resumed.load_state(checkpoint.load_state(tmp_path / "state"))

    assert resumed.finished_epochs == 2
    assert resumed.history == uninterrupted.history
    assert without_seconds(resumed.epoch()) == without_seconds(uninterrupted.epoch())
    for name, weight in weights_of(uninterrupted).items():
        assert torch.equal(weight, weights_of(resumed)[name])


def test_early_stopping_goes_on_counting(make_job: MakeJob, data: TrialData) -> None:
    stopping = {"metric": "val/loss", "patience": 2, "min_delta": 100.0}
    job = make_job(training={"early_stopping": stopping})
    trial, resumed = Trial(job, data), Trial(job, data)
    trial.epoch()
    trial.epoch()
    resumed.load_state(trial.state())
    assert resumed.done is None
    resumed.epoch()
    assert resumed.stopped_early


def test_a_state_is_a_copy(make_job: MakeJob, data: TrialData) -> None:
    trial = Trial(make_job(), data)
    trial.epoch()
    state = trial.state()
    before = {name: weight.clone() for name, weight in state["learner"]["model"].items()}
    trial.epoch()
    assert len(state["history"]) == 1
    assert all(torch.equal(weight, before[name]) for name, weight in state["learner"]["model"].items())


@pytest.mark.parametrize("take_over", [Trial.load_state, Trial.adopt_state])
def test_another_trials_state_leaves_the_own_settings(
    make_job: MakeJob, data: TrialData, take_over: Callable[[Trial, dict[str, Any]], None]
) -> None:
    donor = Trial(make_job(optimizer={"name": "sgd", "lr": 0.5, "weight_decay": 0.1, "momentum": 0.5}), data)
    donor.epoch()
    own = Trial(make_job(optimizer={"name": "sgd", "lr": 0.02, "weight_decay": 0.0, "momentum": 0.9}), data)
    take_over(own, donor.state())
    for name, weight in weights_of(donor).items():
        assert torch.equal(weight, weights_of(own)[name])
    live = own.live_values()
    assert [live[f"optimizer.{name}"] for name in ("lr", "weight_decay", "momentum")] == [0.02, 0.0, 0.9]
    assert own.epoch()["optimizer/lr"] == pytest.approx(0.02)


def test_an_adopting_trial_keeps_its_own_epochs(make_job: MakeJob, data: TrialData) -> None:
    donor, own = Trial(make_job(), data), Trial(make_job(), data)
    donor.epoch()
    donor.epoch()
    own.epoch()
    history = own.history.copy()
    own.adopt_state(donor.state())
    assert own.history == history
    assert own.finished_epochs == 1


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"name": "cnn", "channels": [8, 17], "padding": "same"}}, "the state doesn't fit model cnn"),
        ({"optimizer": {"name": "adam", "lr": 0.01}}, "a checkpoint of adamw can't go on with adam"),
    ],
    ids=["model", "optimizer"],
)
def test_a_state_that_does_not_fit(make_job: MakeJob, data: TrialData, sections: dict[str, Any], message: str) -> None:
    state = Trial(make_job(), data).state()
    with pytest.raises(RunError, match=message):
        Trial(make_job(**sections), data).load_state(state)


@pytest.mark.parametrize("part", ["history", "learner", "watch"])
def test_a_state_that_lacks_a_part(make_job: MakeJob, data: TrialData, part: str) -> None:
    state = Trial(make_job(), data).state()
    del state[part]
    with pytest.raises(RunError, match=f"model cnn, going on from a state: KeyError: '{part}'"):
        Trial(make_job(), data).load_state(state)
