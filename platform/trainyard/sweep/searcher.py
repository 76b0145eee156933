"""The ledger as Ray Tune's `Searcher`, and a callback for what Tune does not tell its searcher."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from trainyard.errors import RunError, TrainyardError
from trainyard.spec.tasks import STEPS_TO_TARGET
from trainyard.sweep.controller import Concurrency
from trainyard.sweep.ledger import Ledger
from trainyard.tracking.events import TrialState
from trainyard.training.gradients.health import Finding
from trainyard.training.pictures import Drawn

STOPPED = "stopped by the scheduler"

SLOT_DEATHS = 4
"""A trial whose slots die so many times, on nodes that live on, is taken to be the cause, and fails."""


class DriverOnly:
    """Something that lives on the driver. Tune pickles whatever it is given, for a restore that is not ours."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return DriverOnly, ()


class LedgerSearcher(DriverOnly, Searcher):
    """Hands Tune the ledger's assignments, as many at a time as there are slots, and the ledger Tune's results.

    An error of the ledger (a full disk) must not be raised through Tune's loop, which would lose the running trials'
    ends: it is kept in `error`, and no more trials are handed out.
    """

    def __init__(self, ledger: Ledger, *, concurrency: Concurrency | None) -> None:
        """concurrency: how many slots there are; None where the scheduler keeps more trials alive than that."""
        objective = ledger.objectives[0]
        super().__init__(metric=objective.metric, mode=objective.mode)
        self._ledger = ledger
        self._concurrency = concurrency
        self._numbers: dict[str, int] = {}
        self._running: set[str] = set()
        self.error: TrainyardError | None = None
        self.closing = False

    @property
    def running(self) -> int:
        """Trials that have been handed out and have not ended."""
        return len(self._running)

    @property
    def stopping(self) -> bool:
        """Whether the sweep is to end before all its trials have."""
        return self.closing or self.error is not None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.stopping:
            return str(Searcher.FINISHED)
        if self._concurrency is not None and len(self._running) >= self._concurrency.slots:
            return None
        try:
            assignment = self._ledger.propose()
        except TrainyardError as error:
            self.error = error
            return str(Searcher.FINISHED)
        if assignment is None:
            return str(Searcher.FINISHED)
        self._numbers[trial_id] = assignment.trial
        self._running.add(trial_id)
        return {"trial": assignment.trial, "values": assignment.values, "reported": assignment.reported}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._hear(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._running.discard(trial_id)
        trial = self._numbers[trial_id]
        if result is not None:
            self._hear(trial_id, result)
        if error:
            state: TrialState = "failed"
            reason = (
                f"its slot died {SLOT_DEATHS} times (killed, out of memory, or a crash in native code): see ray.log"
            )
        elif result is None:  # it was paused (hyperband), and is not woken again
            state, reason = "pruned", STOPPED
        elif result["trainyard/state"] == "unfinished":  # the trial is to be resumed with the sweep
            self.error = self.error or RunError(result["trainyard/reason"])
            return
        else:
            state, reason = result["trainyard/state"], result["trainyard/reason"]
        if state == "running":  # it did not end by itself, so the scheduler ended it
            state, reason = "pruned", STOPPED
        self._keep_error(lambda: self._ledger.end(trial, state, reason))

    def _hear(self, trial_id: str, result: dict[str, Any]) -> None:
        metrics = {key: value for key, value in result.items() if is_metric(key) and not _is_unreached(key, value)}
        live = {key.removeprefix(LIVE): value for key, value in result.items() if key.startswith(LIVE)}
        if metrics:
            self._keep_error(lambda: self._ledger.epoch(self._numbers[trial_id], result["epoch"], metrics))
        if live:
            self._keep_error(
                lambda: self._ledger.note(self._numbers[trial_id], {f"live/{k}": v for k, v in live.items()})
            )

        for finding in result["trainyard/findings"]:
            self._keep_error(partial(self._ledger.finding, self._numbers[trial_id], Finding(**finding)))
        for drawn in result["trainyard/drawn"]:
            self._keep_error(partial(self._ledger.drawn, self._numbers[trial_id], Drawn(**drawn)))

    def _keep_error(self, step: Any) -> None:
        try:
            step()
        except TrainyardError as error:
            self.error = self.error or error

    # The ledger's journal and Optuna's storage are the truth; a pickle of the searcher is not (ray-project/ray#30861).
    def save(self, checkpoint_path: str) -> None:
        return None

    def restore(self, checkpoint_path: str) -> None:
        return None


LIVE = "trainyard/live/"
"""Where Tune's flattened results hold the values that were read back from live objects."""


def is_metric(key: str) -> bool:
    """Whether a key of a flattened result is a metric of ours: those have a slash, and so has nothing of Tune's own."""
    return "/" in key and not key.startswith(("trainyard/", "config/"))


def _is_unreached(key: str, value: float) -> bool:
    """Whether it stands for a target that has not been reached: Tune is told NaN, and everybody else nothing."""
    return key == STEPS_TO_TARGET and math.isnan(value)


class TuneWatcher(DriverOnly, tune.Callback):
    """Keeps a trial's config true to what has been reported, and the sweep in step with its cluster.

    Tune builds a slot anew, and wakes a paused trial, with the trial's config: `reported` in it says which epochs are
    known already.
    """

    def __init__(self, on_step: Callable[[], None]) -> None:
        """on_step: called every 0.1 s or more often, in Tune's loop."""
        self._on_step = on_step

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._on_step()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        trial.config["reported"] = max(trial.config["reported"], result["epoch"])
