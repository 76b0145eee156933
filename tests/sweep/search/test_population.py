"""A population meets at exchanges, and nobody waits for who will not come."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune import CheckpointConfig

from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.search.schedulers import build_scheduler

EPOCHS = 9


class Member:
    """A trial as a scheduler sees it. `epoch` is where its state stands."""

    def __init__(self, number: int) -> None:
        self.trial_id = f"member-{number}"
        self.status = "RUNNING"
        self.experiment_tag = ""
        self.config: dict[str, Any] = {"trial": number, "values": {"optimizer.lr": 1e-3}, "reported": 0}
        self.epoch = 0
        kept = SimpleNamespace(checkpoint_config=CheckpointConfig(), _latest_checkpoint_result=None)
        self.run_metadata = SimpleNamespace(checkpoint_manager=kept)
        self.temporary_state = SimpleNamespace(saving_to=None)
        self.checkpoint = f"state of {number}"
        self.recovers = False

    def should_recover(self) -> bool:
        return self.recovers

    def is_finished(self) -> bool:
        return self.status == "TERMINATED"

    def set_experiment_tag(self, tag: str) -> None:
        self.experiment_tag = tag

    def set_config(self, config: dict[str, Any]) -> None:
        self.config = config


class Controller:
    """Runs the trials that the scheduler chooses, as Tune does, but one result after the other."""

    def __init__(self, job: Job, members: int, interval: int = 1) -> None:
        parameters = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}
        search = {"scheduler": {"name": "pbt", "interval": interval, "quantile": 0.5}}
        space = Space.from_dict({"parameters": parameters, "search": search})
        self.scheduler: Any = build_scheduler(job.with_values({"training.epochs": EPOCHS}), space)
        self.members = [Member(number) for number in range(members)]
        self.live = set(self.members)
        for member in self.members:
            self.scheduler.on_trial_add(self, member)

    def get_trials(self) -> list[Member]:
        return self.members

    def get_live_trials(self) -> set[Member]:
        return self.live

    def pause_trial(self, member: Member, should_checkpoint: bool = True) -> None:
        member.status = "PAUSED"

    def _schedule_trial_save(self, member: Member, result: Any) -> str:
        return member.checkpoint

    def report(self, number: int, epoch: int, accuracy: float) -> None:
        """A trial that runs has trained up to an epoch."""
        member = self.members[number]
        assert member.status == "RUNNING"
        member.epoch = epoch
        if self.scheduler.on_trial_result(self, member, {"epoch": epoch, "val/accuracy": accuracy}) == "PAUSE":
            member.status = "PAUSED"

    def end(self, number: int, *, error: bool = False) -> None:
        member = self.members[number]
        if error:
            self.scheduler.on_trial_error(self, member)
        else:
            self.scheduler.on_trial_complete(self, member, {"epoch": EPOCHS, "val/accuracy": 0.5})
        member.status = "TERMINATED"
        self.live.discard(member)

    def lose_slot(self, number: int) -> None:
        """It goes on in another one: Tune tells a scheduler of an error, and adds the trial again."""
        member = self.members[number]
        member.recovers, member.status = True, "ERROR"
        self.live.discard(member)
        self.scheduler.on_trial_error(self, member)
        member.status = "PENDING"
        self.live.add(member)
        self.scheduler.on_trial_add(self, member)

    def wake(self) -> list[int]:
        """Run all that may go on."""
        woken = []
        while (member := self.scheduler.choose_trial_to_run(self)) is not None:
            member.status = "RUNNING"
            woken.append(self.members.index(member))
        return sorted(woken)


def test_all_wait_for_the_last_and_then_go_on(digits_job: Job) -> None:
    controller = Controller(digits_job, members=3)
    controller.report(0, 1, 0.9)
    controller.report(1, 1, 0.2)
    assert controller.wake() == []
    controller.report(2, 1, 0.5)
    assert controller.wake() == [0, 1, 2]


def test_one_that_is_ahead_and_copied_stops_nobody(digits_job: Job) -> None:
    """A trial takes over a state that is an epoch further, is the better then, and is copied in its turn."""
    controller = Controller(digits_job, members=2)
    controller.report(0, 1, 0.9)
    controller.report(1, 1, 0.2)
    assert controller.wake() == [0, 1]
    controller.report(0, 2, 0.9)
    controller.report(1, 3, 0.95)
    assert controller.wake() == [0, 1]


@pytest.mark.parametrize("error", [False, True])
def test_the_end_of_the_one_that_all_wait_for_lets_them_go_on(digits_job: Job, error: bool) -> None:
    controller = Controller(digits_job, members=3)
    controller.report(0, 1, 0.9)
    controller.report(1, 1, 0.2)
    controller.end(2, error=error)
    assert controller.wake() == [0, 1]
    assert controller.members[1].config["values"] != {"optimizer.lr": 1e-3}, "the worse of the two has copied"
    assert controller.members[0].config["values"] == {"optimizer.lr": 1e-3}


def test_the_end_of_one_wakes_nobody_while_others_still_train(digits_job: Job) -> None:
    controller = Controller(digits_job, members=3)
    controller.report(0, 1, 0.9)
    controller.end(2)
    assert controller.wake() == []
    controller.report(1, 1, 0.2)
    assert controller.wake() == [0, 1]


def test_the_last_one_goes_on_alone(digits_job: Job) -> None:
    controller = Controller(digits_job, members=2)
    controller.report(0, 1, 0.9)
    controller.end(1, error=True)
    assert controller.wake() == [0]
    controller.report(0, 2, 0.9)
    assert controller.wake() == [0]


def test_one_whose_slot_died_is_waited_for(digits_job: Job) -> None:
    controller = Controller(digits_job, members=2, interval=2)
    controller.report(0, 2, 0.5)
    controller.lose_slot(1)
    assert controller.wake() == [1]


def test_one_whose_slot_died_meets_the_others_where_they_wait(digits_job: Job) -> None:
    """And not with its next result, at which it would take over a state that is epochs ahead of its own."""
    controller = Controller(digits_job, members=2, interval=5)
    controller.report(0, 5, 0.9)
    controller.report(1, 5, 0.2)
    assert controller.wake() == [0, 1]
    controller.report(0, 10, 0.9)
    controller.report(1, 6, 0.2)
    controller.lose_slot(1)
    assert controller.wake() == [1]
    before = controller.members[1].config
    controller.report(1, 7, 0.2)
    assert controller.members[1].status == "RUNNING"
    assert controller.members[1].config is before
    controller.report(1, 10, 0.2)
    assert controller.wake() == [0, 1]
    assert controller.members[1].config is not before
