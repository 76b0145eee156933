"""Hyperband's trials may lose their slots: they stay among those that they are compared with."""

from typing import Any

import pytest

from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.search.schedulers import build_scheduler

EPOCHS = 9


class Contestant:
    """A trial as a scheduler sees it."""

    def __init__(self, number: int) -> None:
        self.trial_id = f"contestant-{number}"
        self.status = "PENDING"
        self.is_saving = False


class Controller:
    """Runs all trials beside each other, and does with them what the scheduler says."""

    def __init__(self, job: Job, trials: int) -> None:
        space = Space.from_dict(
            {
                "parameters": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}},
                "search": {"scheduler": {"name": "hyperband", "reduction_factor": 3}},
            }
        )
        self.scheduler: Any = build_scheduler(job.with_values({"training.epochs": EPOCHS}), space)
        self.trials = [Contestant(number) for number in range(trials)]
        for trial in self.trials:
            self.scheduler.on_trial_add(self, trial)

    def stop_trial(self, trial: Contestant) -> None:
        trial.status = "TERMINATED"
        self.scheduler.on_trial_complete(self, trial, {})

    def report(self, trial: Contestant, epoch: int, accuracy: float) -> None:
        """It runs, and has trained up to an epoch."""
        trial.status = "RUNNING"
        decision = self.scheduler.on_trial_result(self, trial, {"epoch": epoch, "val/accuracy": accuracy})
        trial.status = {"PAUSE": "PAUSED", "STOP": "TERMINATED", "CONTINUE": "RUNNING"}[decision]

    def lose_slot(self, trial: Contestant) -> None:
        """It goes on in another one: Tune tells a scheduler of an error, and adds the trial again."""
        trial.status = "ERROR"
        self.scheduler.on_trial_error(self, trial)
        trial.status = "PENDING"
        self.scheduler.on_trial_add(self, trial)

    def fail(self, trial: Contestant) -> None:
        """For good."""
        self.scheduler.on_trial_error(self, trial)
        trial.status = "ERROR"

    def wake_all(self) -> None:
        while (trial := self.next()) is not None:
            trial.status = "RUNNING"

    def next(self) -> Contestant | None:
        chosen: Contestant | None = self.scheduler.choose_trial_to_run(self)
        return chosen


@pytest.fixture
def controller(digits_job: Job) -> Controller:
    return Controller(digits_job, trials=17)


@pytest.fixture
def bracket(controller: Controller) -> list[Contestant]:
    """The nine trials of which three go on after the first epoch."""
    return controller.trials[-9:]


def test_the_best_third_goes_on_after_an_epoch(controller: Controller, bracket: list[Contestant]) -> None:
    for place, trial in enumerate(bracket):
        controller.report(trial, 1, place / 10)
    assert [trial.status for trial in bracket[:6]] == ["TERMINATED"] * 6
    assert bracket[8].status == "RUNNING"


def test_one_whose_slot_died_is_waited_for(controller: Controller, bracket: list[Contestant]) -> None:
    *others, last = bracket
    for trial in controller.trials[:-9]:
        trial.status = "RUNNING"
    for place, trial in enumerate(others):
        controller.report(trial, 1, place / 10)
    controller.lose_slot(last)
    assert {trial.status for trial in others} == {"PAUSED"}
    assert controller.next() is last
    controller.report(last, 1, 0.0)
    assert last.status == "TERMINATED"
    assert controller.next() in others[-3:]


@pytest.mark.parametrize(("accuracy", "ended"), [(0.0, "TERMINATED"), (0.9, "RUNNING")])
def test_one_whose_slot_died_where_it_was_to_wait_is_heard_once_more(
    controller: Controller, bracket: list[Contestant], accuracy: float, ended: str
) -> None:
    """Not by the last of the others, while it has no slot."""
    first, *others = bracket
    controller.report(first, 1, accuracy)
    controller.lose_slot(first)
    for place, trial in enumerate(others, start=1):
        controller.report(trial, 1, place / 20)
    assert {trial.status for trial in others} == {"PAUSED"}
    controller.report(first, 2, accuracy)
    assert first.status == ended


def test_one_that_will_not_come_back_is_not_waited_for(controller: Controller, bracket: list[Contestant]) -> None:
    *others, last = bracket
    for place, trial in enumerate(others):
        controller.report(trial, 1, place / 10)
    controller.fail(last)
    assert [trial.status for trial in others[:5]] == ["TERMINATED"] * 5


@pytest.mark.parametrize("status", ["RUNNING", "PENDING"])
def test_nor_is_it_where_three_were_left(controller: Controller, bracket: list[Contestant], status: str) -> None:
    for place, trial in enumerate(bracket):
        controller.report(trial, 1, place / 10)
    *others, last = bracket[-3:]
    controller.wake_all()
    for trial in others:
        controller.report(trial, 3, 0.5)
        assert trial.status == "PAUSED"
    last.status = status
    controller.fail(last)
    assert controller.next() in others


def test_those_that_are_beyond_the_next_rung_are_halved_at_once(
    controller: Controller, bracket: list[Contestant]
) -> None:
    """A resumed sweep begins with new brackets, and with trials that have trained before."""
    for trial in controller.trials[:-9]:
        trial.status = "RUNNING"
    *others, best = bracket
    for trial in others[:2]:
        controller.report(trial, 5, 0.8)
    controller.report(best, 5, 0.9)
    for trial in others[2:]:
        controller.report(trial, 1, 0.1)
    assert {trial.status for trial in others} == {"TERMINATED"}
    assert controller.next() is best
