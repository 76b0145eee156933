"""A slot by itself, with a trainer of nothing."""

from pathlib import Path
from typing import Any, cast

import pytest
import ray

from trainyard.data.location import Location
from trainyard.spec.job import Job
from trainyard.sweep.slots.slot import Slot, SlotOrders

from .test_trial_run import CountingWorkers

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_nodes")]


class Roster:
    """Tells that the node is about to leave, until it dies."""

    lives = True

    @property
    def is_leaving(self) -> "Roster":
        return self

    def remote(self, nodes: set[str]) -> Any:
        if not self.lives:
            raise ray.exceptions.ActorDiedError()
        return ray.put(True)


def assignment(trial: int) -> dict[str, Any]:
    return {"trial": trial, "values": {}, "reported": 0}


def test_a_slot_that_was_to_leave_and_is_given_another_trial_trains_it(digits_job: Job, tmp_path: Path) -> None:
    """The scheduler ends its trial, and nobody tells of notices any more."""
    roster = Roster()
    slot = object.__new__(Slot)
    slot._orders = SlotOrders(
        job=digits_job, directory=None, data=cast(Any, None), folder=Location.of(tmp_path), roster=roster
    )
    slot._workers, slot._node = CountingWorkers(), "here"
    slot._begin(assignment(0))
    assert slot.step()["epoch"] == 1
    assert slot._saved_to_leave
    roster.lives = False
    assert slot.reset_config(assignment(1))
    assert [slot.step()["epoch"] for _ in range(2)] == [1, 2]
