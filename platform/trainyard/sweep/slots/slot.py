"""A slot: the Ray Tune trial actor that outlives its trials.

Tune builds one `Slot` for each place in the cluster and hands it trial after trial (`reuse_actors`). One `step` is one
epoch. Whatever a trial raises becomes a result, never an exception: Tune throws away the actor of an errored trial, and
a new one costs half a minute of imports.

A slot hears after each epoch whether its node is about to leave the cluster. It then saves the trial's state and ends
its process, and Tune starts the trial in another slot, which goes on from that state.

With crews a slot takes one that the roster gives it. While that crew is not there the slot takes another that is free,
and where the cluster has become too small for all of them it ends its process, so that its trial goes on in another.
"""

import contextlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError

from trainyard.data.cache import SharedData
from trainyard.data.location import Location
from trainyard.errors import TrialError
from trainyard.spec.job import Job
from trainyard.sweep.extraction import SharedExtraction
from trainyard.sweep.places import gpus_of_trial
from trainyard.sweep.results.checkpoints import TrialFolder
from trainyard.sweep.slots.assignment import Assignment
from trainyard.sweep.slots.trial_run import Result, TrialRun
from trainyard.sweep.slots.workers import CrewLost, NoWorkers, Workers

TAKE_SECONDS = 30.0
"""So long a new slot waits for a crew: that of a slot which was killed is free when the driver has seen that. Then the
new one is one too many, and leaves its trial to another."""


@dataclass(frozen=True, kw_only=True)
class SlotOrders:
    """What every slot of a sweep needs to know. roster: an actor handle of the sweep's `Roster`."""

    job: Job
    directory: Path | None
    data: SharedData | SharedExtraction
    folder: Location
    roster: Any


class Slot(tune.Trainable):
    """Trains one trial after the other. A trial's config is an `Assignment` in plain values."""

    def setup(self, config: dict[str, Any], orders: SlotOrders) -> None:
        self._orders = orders
        self._run: TrialRun | None = None
        self._workers = _workers(orders)
        self._node = ray.get_runtime_context().get_node_id()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._is_leaving():
            ray.actor.exit_actor()
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        assignment = Assignment(trial=config["trial"], values=config["values"], reported=config["reported"])
        folder = TrialFolder(self._orders.folder, assignment.trial)
        self._saved_to_leave = False
        self._run = TrialRun(assignment, self._orders.job, self._workers, folder)

    def step(self) -> dict[str, Any]:
        assert self._run is not None
        if self._saved_to_leave:
            # Not before the last result is out: the state is on disk, and the next slot goes on from there.
            ray.actor.exit_actor()
        result = self._run.next_result()
        if not result.done and self._is_leaving():
            self._run.move()
            self._saved_to_leave = self._run.moved  # else the next result says what was in the way
        return self._as_tune_result(result)

    def _is_leaving(self) -> bool:
        """Whether the slot's node is about to leave. A crew looks after its own nodes (`CrewWorkers.cramped`)."""
        try:
            return bool(ray.get(self._orders.roster.is_leaving.remote({self._node})))
        except RayActorError:  # nobody tells of notices any more; slots train on
            return False

    def _as_tune_result(self, result: Result) -> dict[str, Any]:
        # Tune looks for its metric in every result: also in the last one of a trial that raised, and before a trial has
        # reached its target.
        missing = {objective.metric: math.nan for objective in self._orders.job.objectives}
        return {
            **missing,
            **result.metrics,
            "epoch": result.epoch,
            "done": result.done,
            "trainyard": {
                "state": result.state,
                "reason": result.reason,
                "live": result.live,
                "findings": [asdict(finding) for finding in result.findings],
                "drawn": [asdict(result.drawn)] if result.drawn else [],
            },
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        assert self._run is not None
        (Path(checkpoint_dir) / "state.pt").write_bytes(self._run.state())

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        assert self._run is not None
        self._run.restore((Path(checkpoint_dir) / "state.pt").read_bytes())

    def cleanup(self) -> None:
        with contextlib.suppress(TrialError, CrewLost):  # a worker that is not there holds nothing
            self._workers.stop()
        if self._orders.job.resources.crew:
            with contextlib.suppress(RayActorError):
                ray.get(self._orders.roster.release.remote(_own_id()))


def _own_id() -> str:
    return str(ray.get_runtime_context().get_actor_id())


def _workers(orders: SlotOrders) -> Workers:
    return _crew(orders.roster) if orders.job.resources.crew else _solo(orders)


def _crew(roster: Any) -> Workers:
    """A crew that no other slot holds: one is on its way, or its last holder has just died."""
    from trainyard.sweep.crews.crew import CrewWorkers

    end = time.monotonic() + TAKE_SECONDS
    try:
        while (mailbox := ray.get(roster.take.remote(_own_id()))) is None:
            if time.monotonic() > end:
                ray.get(roster.excuse.remote(_own_id()))
                ray.actor.exit_actor()
            time.sleep(0.5)
    except RayActorError as error:
        return NoWorkers(f"the roster of the sweep died: {error}")
    return CrewWorkers(mailbox, _OtherCrews(roster))


class _OtherCrews:
    """Those of the roster."""

    def __init__(self, roster: Any) -> None:
        self._roster = roster

    def another(self) -> Any | None:
        """Ends the process where it is one too many."""
        try:
            if (mailbox := ray.get(self._roster.exchange.remote(_own_id()))) is not None:
                return mailbox
            if ray.get(self._roster.gives_way.remote(_own_id())):
                ray.actor.exit_actor()
        except RayActorError:
            return None
        return None

    def is_there(self) -> None:
        self._roster.is_there.remote(_own_id())


def _solo(orders: SlotOrders) -> Workers:
    # torch is imported only by slots that train themselves: a crew's slot does without, and starts 4 s sooner.
    from trainyard.sweep.slots.worker import lone_worker

    return lone_worker(orders.job, orders.data.read, directory=orders.directory, gpus=gpus_of_trial(orders.job))
