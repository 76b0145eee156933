"""Ray Tune's controller, taught what a sweep on a cluster that changes needs.

- It asks for as many slots as `Concurrency` says at the moment, also where the scheduler keeps more trials alive: Tune
  itself would ask an autoscaling cluster for a place for every trial.
- A slot that is being started is let alone. Tune gives a trial to whichever slot is free first and then kills the one
  that was being started for it: with short trials a newcomer, which takes half a minute to import everything, never
  came up.
- Where the scheduler pauses trials, their slots wait for the next ones. Tune keeps a slot only for a trial that waits
  for one at that moment: each exchange of a population would start all of them anew.
- The death of a slot counts against its trial only where the node lives on.
- A slot that dies between two trials ends neither: Tune hears of it twice, and takes the second time for the trial's
  end.
- A trial that ends with an error is not among the living: Tune leaves it there, and a population would wait for it.

Tune has no place to put another controller, so `tune_with` puts it where `Tuner.fit` looks.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any

from ray.air._internal import usage
from ray.exceptions import RayActorError
from ray.tune import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.experiment import trial as tune_trial


@dataclass
class Concurrency:
    """How many slots there are to be at the moment, at least one. Changed and read in the driver's loop."""

    slots: int

    crew_share: int = 0
    """For how many workers a crew that is started may ask the autoscaler; 0: the cluster has none."""

    crews_lacking: bool = False
    """Whether a slot waits for a crew: one that has no trial at the moment is not to keep its own."""


class SlotController(TuneController):
    """excused: whether the death of the slot with this actor id is not its trial's doing. pauses: whether the scheduler
    pauses trials and wakes them."""

    def __init__(
        self, *, concurrency: Concurrency, pauses: bool, excused: Callable[[str], bool], **settings: Any
    ) -> None:
        self._concurrency = concurrency
        self._pauses = pauses
        self._excused = excused
        self._dead_slots: set[str] = set()
        super().__init__(**settings)

    # -- how many slots

    def _maybe_update_trial_queue(self) -> None:
        self._max_pending_trials = self._concurrency.slots
        super()._maybe_update_trial_queue()

    def _maybe_add_actors(self) -> None:
        """Give free slots to waiting trials, and ask for so many slots as are lacking."""
        lacking = max(0, self._concurrency.slots - self._actor_manager.num_total_actors)
        if self._actor_cache.num_cached_objects:
            self._pass_over_starting()
        if not lacking and not self._actor_cache.num_cached_objects:
            return
        self._max_pending_trials = self._actor_manager.num_pending_actors + lacking
        super()._maybe_add_actors()

    # -- newcomers

    def _maybe_reuse_cached_actor(self, trial: Trial) -> bool:
        if trial not in self._resetting_trials and self._awaits_its_slot(trial):
            return False
        return bool(super()._maybe_reuse_cached_actor(trial))

    def _awaits_its_slot(self, trial: Trial) -> bool:
        """Whether a slot that would be of use longer than for this trial is being started for it."""
        slot = self._trial_to_actor.get(trial)
        last = self._search_alg.is_finished() and not self._pauses
        return slot is not None and self._actor_manager.is_actor_started(slot) and not last

    def _pass_over_starting(self) -> None:
        """Where the scheduler would have a trial run whose slot is being started: let others have the free slots."""
        chosen = self._scheduler_alg.choose_trial_to_run(self._wrapped())
        if chosen is None or not self._awaits_its_slot(chosen):
            return
        while self._actor_cache.num_cached_objects and (trial := self._next_without_slot()) is not None:
            self._set_trial_status(trial, Trial.PENDING)
            self._staged_trials.add(trial)
            self._actor_cache.increase_max(trial.placement_group_factory)
            self._schedule_trial_actor(trial)

    def _next_without_slot(self) -> Trial | None:
        """The trial that the scheduler would have run if those ran that have a slot, or have one started for them."""
        waiting = [trial for trial in self._trial_to_actor if trial.status == Trial.PENDING]
        for trial in waiting:
            trial.status = Trial.RUNNING
        try:
            chosen = self._scheduler_alg.choose_trial_to_run(self._wrapped())
        finally:
            for trial in waiting:
                trial.status = Trial.PENDING
        return None if chosen in self._staged_trials else chosen

    # -- slots between two trials

    def _maybe_cache_trial_actor(self, trial: Trial) -> bool:
        if not self._pauses:
            return bool(super()._maybe_cache_trial_actor(trial))
        staged: set[Trial] = self._staged_trials
        as_if = {trial} - staged
        staged |= as_if  # Tune keeps none where no trial is staged
        try:
            with self._keeping(self._actor_cache.num_cached_objects + 1):
                return bool(super()._maybe_cache_trial_actor(trial))
        finally:
            staged -= as_if

    def _cleanup_cached_actors(self, force_all: bool = False) -> None:
        with self._keeping(self._slots_to_keep() if self._pauses else 0):
            super()._cleanup_cached_actors(force_all=force_all)

    def _slots_to_keep(self) -> int:
        """Of those between two trials."""
        if self._concurrency.crews_lacking:
            return 0
        going = sum(map(self._actor_manager.is_actor_started, self._stopping_actors))
        spare = self._actor_manager.num_total_actors - going - self._slots_in_use()
        return self._actor_cache.num_cached_objects - max(0, spare)

    def _slots_in_use(self) -> int:
        """Slots that trials have or will have."""
        if not self._search_alg.is_finished():
            return self._concurrency.slots
        return min(self._concurrency.slots, sum(not trial.is_finished() for trial in self._live_trials))

    @contextlib.contextmanager
    def _keeping(self, slots: int) -> Iterator[None]:
        """Within it Tune keeps so many slots more than trials are staged. All slots of a sweep are alike."""
        if slots <= 0:
            yield
            return
        kind = self._trials[0].placement_group_factory
        self._actor_cache.increase_max(kind, slots)
        try:
            yield
        finally:
            self._actor_cache.decrease_max(kind, slots)

    # -- deaths

    def _process_trial_failure(self, trial: Trial, exception: Exception) -> None:
        if isinstance(exception, RayActorError):
            slot: str | None = exception.actor_id
            if slot in self._dead_slots:
                return
            if slot is not None:
                self._dead_slots.add(slot)
                # Tune counts no death of which Ray knows by itself that the node was taken away, but in a restore.
                counts = trial.is_restoring or not exception.preempted
                if counts and (exception.preempted or self._excused(slot)):
                    trial.run_metadata.num_failures -= 1  # Tune is about to add one
            self._resetting_trials.discard(trial)
        super()._process_trial_failure(trial, exception)

    def _schedule_trial_stop(self, trial: Trial, exception: Exception | None = None) -> None:
        super()._schedule_trial_stop(trial, exception=exception)
        if exception is not None:
            self._live_trials.discard(trial)  # one that goes on in another slot is added again


@contextlib.contextmanager
def tune_with(concurrency: Concurrency, *, pauses: bool, excused: Callable[[str], bool]) -> Iterator[None]:
    """Within it, `Tuner.fit` runs a SlotController."""
    controller = partial(SlotController, concurrency=concurrency, pauses=pauses, excused=excused)
    with (
        _in_place_of(tune, TuneController=controller),
        # To count which integrations are used, Tune imports mlflow as soon as there is any callback: 2 to 4 s before
        # the first trial.
        _in_place_of(usage, tag_callbacks=lambda callbacks: False),
        # For each trial it asks the head three times, and unpickles twice, what class a slot is.
        _in_place_of(tune_trial, get_trainable_cls=cache(tune_trial.get_trainable_cls)),
        _in_place_of(tune_trial, validate_trainable=cache(tune_trial.validate_trainable)),
    ):
        yield


@contextlib.contextmanager
def _in_place_of(module: ModuleType, **replaced: Any) -> Iterator[None]:
    before = {name: getattr(module, name) for name in replaced}
    vars(module).update(replaced)
    try:
        yield
    finally:
        vars(module).update(before)
