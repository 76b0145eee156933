"""What the deaths of slots do to a trial: Ray Tune's own loop with our controller, but without Ray, slots and time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError
from ray.train._internal.storage import StorageContext
from ray.tune.experiment import Trial
from ray.tune.search import SearchAlgorithm

from trainyard.sweep.controller import Concurrency, SlotController
from trainyard.sweep.searcher import SLOT_DEATHS


class Heard(SearchAlgorithm):
    """What Tune tells the sweep of trials that have ended."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        assert error
        self.failed.append(trial_id)


class Unrecorded(Trial):
    """Tune writes errors to a folder of its session, which there is not."""

    local_path = None

    def init_local_path(self) -> None:
        return None

    def set_ray_actor(self, ray_actor: object) -> None:
        return None


class Sweep:
    """One running trial, whose slots die when they are told to. excused: the slots whose deaths are nobody's fault."""

    def __init__(self, folder: Path, excused: Callable[[str], bool]) -> None:
        storage = StorageContext(storage_path=str(folder), experiment_dir_name="trials")
        storage.trial_dir_name = "trial"
        self.heard = Heard()
        self.controller = SlotController(
            concurrency=Concurrency(1), pauses=False, excused=excused, storage=storage, search_alg=self.heard
        )
        self.trial = Unrecorded("stub", stub=True, storage=storage, max_failures=SLOT_DEATHS - 1)
        self.controller.add_trial(self.trial)
        self.run()

    def run(self) -> None:
        self.controller._set_trial_status(self.trial, Trial.RUNNING)

    def dies(self, slot: str, *, preempted: bool = False) -> str:
        """The state of the trial afterwards."""
        self.controller._process_trial_failure(self.trial, RayActorError(slot, preempted=preempted))
        return str(self.trial.status)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path, lambda slot: slot.startswith("excused"))


def test_a_trial_fails_when_its_fourth_slot_has_died(sweep: Sweep) -> None:
    for slot in ("first", "second", "third"):
        assert sweep.dies(slot) == Trial.PENDING
        assert sweep.controller.get_live_trials() == {sweep.trial}
        sweep.run()
    assert sweep.heard.failed == []
    assert sweep.dies("fourth") == Trial.ERROR
    assert sweep.heard.failed == [sweep.trial.trial_id]
    assert sweep.controller.get_live_trials() == set(), "a population would wait for it"


@pytest.mark.parametrize("preempted", [False, True])
def test_deaths_that_are_nobodys_fault_are_not_counted(sweep: Sweep, preempted: bool) -> None:
    for count in range(2 * SLOT_DEATHS):
        assert sweep.dies(f"excused {count}", preempted=preempted) == Trial.PENDING
        sweep.run()
    assert sweep.trial.run_metadata.num_failures == 0


def test_a_slot_that_dies_between_two_trials_ends_neither(sweep: Sweep) -> None:
    """Tune hears of it from the call that was to begin the next trial, and from the slot itself."""
    sweep.controller._resetting_trials.add(sweep.trial)
    assert sweep.dies("between") == Trial.PENDING
    assert sweep.dies("between") == Trial.PENDING
    assert sweep.heard.failed == []
    assert sweep.trial not in sweep.controller._resetting_trials, "it would wait for the dead slot"
    assert sweep.trial.run_metadata.num_failures == 1


class Actors:
    """Slots as Tune's manager of actors knows them, none of which is a process."""

    def __init__(self, started: list[str], starting: list[str]) -> None:
        self._live_actors_to_ray_actors_resources = {slot: (f"{slot}'s actor", None) for slot in started}
        self._starting = starting

    @property
    def num_total_actors(self) -> int:
        return len(self._live_actors_to_ray_actors_resources) + len(self._starting)

    @property
    def num_pending_actors(self) -> int:
        return len(self._starting)

    def is_actor_started(self, slot: str) -> bool:
        return slot in self._live_actors_to_ray_actors_resources or slot in self._starting


def test_paused_trials_have_the_free_slots_while_one_is_being_started_for_the_chosen_trial(sweep: Sweep) -> None:
    chosen, controller = sweep.trial, sweep.controller
    controller._pauses = True
    controller._set_trial_status(chosen, Trial.PENDING)
    others = [Unrecorded("stub", stub=True, storage=chosen.storage) for _ in range(3)]
    for trial in others:
        trial.create_placement_group_factory()
        controller.add_trial(trial)
        controller._set_trial_status(trial, Trial.PAUSED)
    actors: Any = Actors(started=["free", "free too"], starting=["newcomer"])
    controller._actor_manager = actors
    controller._trial_to_actor = {chosen: "newcomer"}
    controller._staged_trials = {chosen}
    controller._actor_cache.increase_max(chosen.placement_group_factory, 3)
    begun: list[Trial] = []
    controller._schedule_trial_reset = lambda trial, config, tag: begun.append(trial)
    for slot in ("free", "free too"):
        assert controller._actor_cache.cache_object(chosen.placement_group_factory, slot)
    controller._maybe_add_actors()
    assert begun == others[:2]
    assert controller._trial_to_actor == {chosen: "newcomer", others[0]: "free", others[1]: "free too"}
    assert [trial.status for trial in (chosen, *others)] == [Trial.PENDING] * 3 + [Trial.PAUSED]
