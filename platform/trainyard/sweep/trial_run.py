"""One trial in one slot, from its assignment to its last result, through any number of losses.

Every epoch's metrics are kept in the trial's state (its *history*), and the driver's word says which epochs it has
heard of. From these two follows what to do next, whatever was killed in between: report an epoch that is in the history
but was never heard of, train again in silence one that was heard of but is not in the history, or train the next.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from trainyard.errors import Diverged, TrialError
from trainyard.spec.job import Job, Objective
from trainyard.sweep.assignment import Assignment, Started
from trainyard.sweep.checkpoints import TrialFolder
from trainyard.sweep.workers import CrewLost, Workers
from trainyard.tracking.events import TrialState

LOSS_LIMIT = 3
"""A trial that loses its crew so many times without finishing an epoch in between is taken to be the cause."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a slot reports after an epoch, or at the end of a trial.

    state: running, finished, failed or diverged; reason says why the trial ended. `metrics` is empty where the trial
    ended without another epoch. `live` holds the sampled values as read back from the live objects.
    """

    epoch: int
    metrics: dict[str, float]
    state: TrialState | Literal["running"] = "running"
    reason: str = ""
    live: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.state != "running"


class TrialRun:
    """Trains one assignment with the workers of one slot.

    `next_result` blocks for an epoch or so. After a result that is done the workers are free for the next trial.
    """

    def __init__(
        self,
        assignment: Assignment,
        job: Job,
        workers: Workers,
        folder: TrialFolder,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._assignment = assignment
        self._job = job
        self._workers = workers
        self._folder = folder
        self._clock = clock
        self._saved_at = clock()
        self._reported = assignment.reported
        self._losses = 0
        self._history: list[dict[str, float]] = []
        self._live: dict[str, Any] = {}
        self._done: str | None = None
        self._failure: TrialError | None = None
        self._guarded(lambda: self._restore(folder.last_state()))

    @property
    def trial(self) -> int:
        """The trial's number in its sweep."""
        return self._assignment.trial

    @property
    def reported(self) -> int:
        """The last epoch that was reported, by this slot or one before it."""
        return self._reported

    def next_result(self) -> Result:
        """The next epoch that the driver has not heard of, or the end of the trial."""
        while self._failure is None and len(self._history) <= self._reported and self._done is None:
            self._guarded(self._train_epoch)
        if len(self._history) > self._reported:
            self._reported += 1
            return self._epoch_result(self._reported)
        if self._failure is not None:
            state: TrialState = "diverged" if isinstance(self._failure, Diverged) else "failed"
            return self._end(Result(epoch=self._reported, metrics={}, state=state, reason=self._failure.reason))
        return self._end(Result(epoch=self._reported, metrics={}, state="finished", reason=self._done or ""))

    def state(self) -> bytes:
        """The trial's whole state, for Tune (population based training, paused trials)."""
        return self._workers.state()

    def restore(self, state: bytes, *, own: bool) -> None:
        """Go on from `state`: the trial's own (it was paused), or with the weights of another trial."""
        if own:
            self._guarded(lambda: self._restore(state))
            self._reported = max(self._reported, len(self._history))
        else:
            self._guarded(lambda: self._workers.adopt(state))

    def leave(self) -> None:
        """The trial is over. Its workers hold it until the next one starts: a command less between two trials."""
        self._folder.drop_last()

    def _guarded(self, step: Callable[[], None]) -> None:
        """Do a step; after the loss of the crew go back to the last checkpoint, and fail when that does not help."""
        try:
            step()
        except TrialError as failure:
            self._failure = failure
        except CrewLost as loss:
            self._losses += 1
            if loss.final or self._losses >= LOSS_LIMIT:
                self._failure = TrialError(f"lost its crew {self._losses} times: {loss}")
            else:
                self._guarded(lambda: self._restore(self._folder.last_state()))

    def _restore(self, state: bytes | None) -> None:
        started = self._start(state)
        self._history = list(started.history)
        self._live = started.live
        self._done = started.done

    def _start(self, state: bytes | None) -> Started:
        try:
            return self._workers.start(self._assignment.values, state)
        except TrialError:
            if state is None:
                raise
            # A state that is damaged, or of another model, costs its epochs and not the trial.
            return self._workers.start(self._assignment.values, None)

    def _train_epoch(self) -> None:
        epoch = self._workers.epoch()
        self._history.append(epoch.metrics)
        self._done = epoch.done
        self._losses = 0
        self._save_if_due()

    def _save_if_due(self) -> None:
        due = self._done is None and self._clock() - self._saved_at >= self._job.training.checkpoint_seconds
        best = is_best(self._history, self._job.objectives[0])
        if best:
            self._workers.save(self._folder.best)
        if due:
            self._workers.save(self._folder.last)
            self._saved_at = self._clock()

    def _epoch_result(self, epoch: int) -> Result:
        metrics, live = self._history[epoch - 1], self._live
        self._live = {}
        if epoch == len(self._history) and self._done is not None:
            return self._end(Result(epoch=epoch, metrics=metrics, state="finished", reason=self._done, live=live))
        return Result(epoch=epoch, metrics=metrics, live=live)

    def _end(self, result: Result) -> Result:
        self.leave()
        return result


def is_best(history: list[dict[str, float]], objective: Objective) -> bool:
    """Whether the last epoch is the best so far; the first of equals is kept, and NaN is never best."""
    best: float | None = None
    for epoch in history[:-1]:
        value = epoch.get(objective.metric, math.nan)
        best = value if objective.improves(value, on=best) else best
    return objective.improves(history[-1].get(objective.metric, math.nan), on=best)
