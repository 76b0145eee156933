"""A slot: the Ray Tune trial actor that outlives its trials.

Tune builds one `Slot` for each place in the cluster and hands it trial after trial (`reuse_actors`). One `step` is one
epoch. Whatever a trial raises becomes a result, never an exception: Tune throws away the actor of an errored trial, and
a new one costs half a minute of imports.
"""

import contextlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from trainyard.data.cache import SharedData
from trainyard.errors import TrialError
from trainyard.spec.job import Job
from trainyard.sweep.assignment import Assignment
from trainyard.sweep.checkpoints import TrialFolder
from trainyard.sweep.extraction import SharedExtraction
from trainyard.sweep.plan import gpus_of_trial
from trainyard.sweep.roster import GATHER_SECONDS
from trainyard.sweep.trial_run import Result, TrialRun
from trainyard.sweep.workers import CrewLost, Workers


@dataclass(frozen=True, kw_only=True)
class SlotOrders:
    """What every slot of a sweep needs to know. `mailboxes` are those of the crews; none: the slot trains itself."""

    job: Job
    directory: Path | None
    data: SharedData | SharedExtraction
    folder: Path
    roster: Any
    mailboxes: tuple[Any, ...] = ()


class Slot(tune.Trainable):
    """Trains one trial after the other. A trial's config is an `Assignment` in plain values."""

    def setup(self, config: dict[str, Any], orders: SlotOrders) -> None:
        self._orders = orders
        self._run: TrialRun | None = None
        self._workers = _workers(orders)
        self._name = ray.get_runtime_context().get_actor_id() or "local"
        ray.get(orders.roster.arrive.remote(self._name))
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        assignment = Assignment(trial=config["trial"], values=config["values"], reported=config["reported"])
        folder = TrialFolder(self._orders.folder, assignment.trial)
        self._run = TrialRun(assignment, self._orders.job, self._workers, folder)

    def step(self) -> dict[str, Any]:
        assert self._run is not None
        result = self._run.next_result()
        # Tune gives a waiting trial to whichever actor is free first and then kills the actor that was being started
        # for it. With short trials the second slot would never come up: no result goes out before all are there.
        ray.get(self._orders.roster.gathered.remote(GATHER_SECONDS))
        return self._as_tune_result(result)

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


def _workers(orders: SlotOrders) -> Workers:
    if orders.mailboxes:
        from trainyard.sweep.crew import CrewWorkers, claim

        return CrewWorkers(claim(orders.mailboxes, ray.get_runtime_context().get_actor_id() or "local"))
    return _solo(orders)


def _solo(orders: SlotOrders) -> Workers:
    # torch is imported only by slots that train themselves: a crew's slot does without, and starts 4 s sooner.
    import torch

    from trainyard.sweep.worker import Worker
    from trainyard.sweep.workers import SoloWorkers
    from trainyard.training.trial import Member

    torch.set_num_threads(orders.job.resources.cpus_per_worker)
    device = "cuda" if gpus_of_trial(orders.job) else "cpu"
    return SoloWorkers(Worker(orders.job, orders.data.read, member=Member(device=device), directory=orders.directory))
