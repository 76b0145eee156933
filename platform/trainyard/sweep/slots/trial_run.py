"""One trial in one slot, from its assignment to its last result, through any number of losses.

Every epoch's metrics are kept in the trial's state (its *history*), and the driver's word says which epochs it has
heard of. From these two follows what to do next, whatever was killed in between: report an epoch that is in the history
but was never heard of, train again in silence one that was heard of but is not in the history, or train the next.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trainyard.errors import Diverged, RunError, TrialError
from trainyard.spec.job import Job
from trainyard.sweep.results.bests import Bests
from trainyard.sweep.results.checkpoints import TrialFolder
from trainyard.sweep.slots.assignment import Assignment, Drawn, Started
from trainyard.sweep.slots.workers import CrewLost, Workers
from trainyard.tracking.events import TrialState
from trainyard.training.gradients.health import Finding

LOSS_LIMIT = 3
"""A trial that loses its crew so many times without finishing an epoch in between is taken to be the cause."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a slot reports after an epoch, or at the end of a trial.

    state: running, finished, failed or diverged; reason says why the trial ended. "unfinished" is no end of the trial
    but of the sweep: its disk is full, its data is away, or its crew won't come again. `metrics` is empty where no
    epoch goes with it. `live` holds the sampled values as read back from the live objects. `findings` is what was found
    to be wrong with the training and not told in an earlier result; after a loss or a resume some may have been told
    before it. The same holds for `drawn`, the pictures of the best epoch so far.
    """

    epoch: int
    metrics: dict[str, float]
    state: TrialState | Literal["running", "unfinished"] = "running"
    reason: str = ""
    live: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    drawn: Drawn | None = None

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
        self._furthest = 0
        self._history: list[dict[str, float]] = []
        self._bests = Bests(folder.bests, job.objectives[0])
        self._live: dict[str, Any] = {}
        self._findings: tuple[Finding, ...] = ()
        self._told: set[str] = set()
        self._draws = False
        self._drawn: Drawn | None = None
        self._done: str | None = None
        self._failure: TrialError | None = None
        self._obstacle: str | None = None
        self._moved = False
        if workers.cramped:  # between trials there is nothing to save
            workers.leave()
        self._guarded(self._go_back)

    def next_result(self) -> Result:
        """The next epoch that the driver has not heard of, or the end of the trial."""
        result = self._next_result()
        untold = tuple(finding for finding in self._findings if finding.name not in self._told)
        self._told.update(finding.name for finding in untold)
        drawn, self._drawn = self._drawn, None
        return replace(result, findings=untold, drawn=drawn)

    def _next_result(self) -> Result:
        while self._goes_on and len(self._history) <= self._reported:
            if self._moved:
                self._guarded(self._come_back)
            elif self._workers.cramped:
                self.move()
            else:
                self._guarded(self._train_epoch)
        if len(self._history) > self._reported:
            self._reported += 1
            return self._epoch_result(self._reported)
        if self._obstacle is not None:
            return Result(epoch=self._reported, metrics={}, state="unfinished", reason=self._obstacle)
        if self._failure is not None:
            state: TrialState = "diverged" if isinstance(self._failure, Diverged) else "failed"
            return Result(epoch=self._reported, metrics={}, state=state, reason=self._failure.reason)
        return Result(epoch=self._reported, metrics={}, state="finished", reason=self._done or "")

    @property
    def _goes_on(self) -> bool:
        return self._failure is None and self._obstacle is None and self._done is None

    def move(self) -> None:
        """Save the trial's state now and let the workers go; they train on where there is room by then.

        It counts as no loss, and no epoch is trained again. Before the process of a lone worker ends, it is what saves.
        """
        if self._goes_on and not self._moved:
            self._guarded(self._leave)

    @property
    def moved(self) -> bool:
        """Whether its state is saved and its workers are let go, until the next result is asked for."""
        return self._moved

    def _leave(self) -> None:
        if self._history:
            self._save_last()
        self._workers.leave()
        self._moved = True

    def _come_back(self) -> None:
        self._moved = False
        self._go_back()

    def state(self) -> bytes:
        """The trial's whole state, for Tune (population based training, paused trials).

        Where the crew is lost meanwhile, the epochs since the last checkpoint are trained again first. Where the trial
        can't go on it is that checkpoint, or nothing: the next result says why, and raising here would hide it.
        """
        if self._moved:
            self._guarded(self._come_back)
        states: list[bytes] = []
        while not states and self._failure is None and self._obstacle is None:
            if len(self._history) < self._reported:
                self._guarded(self._train_epoch)
            else:
                self._guarded(lambda: states.append(self._workers.state()))
        return states[0] if states else self._last_state_if_readable()

    def _last_state_if_readable(self) -> bytes:
        try:
            return self._folder.last_state() or b""
        except RunError:
            return b""

    def restore(self, state: bytes) -> None:
        """Go on from a state that Tune kept: the trial's own, as it was paused, or a better trial's of its population.

        Another's state brings its epochs and findings along, and the schedule goes on where that trial stood; the
        values are this one's. Tune gives the same state again where the slot has died since: then the trial goes on
        from its last checkpoint, which is of later.
        """
        self._moved = False
        if self._history and self._folder.descends_from(state):
            return

        def take_over() -> None:
            self._take_over(state)

        self._guarded(take_over, after_loss=take_over)
        self._reported = max(self._reported, len(self._history))

    def _guarded(self, step: Callable[[], None], *, after_loss: Callable[[], None] | None = None) -> None:
        """Do a step; after the loss of the crew go back to the last checkpoint, and fail when that does not help."""
        try:
            step()
        except TrialError as failure:
            self._failure = failure
            self._findings = failure.findings or self._findings
        except RunError as obstacle:
            self._obstacle = str(obstacle)
        except CrewLost as loss:
            self._losses += loss.counts
            if loss.final:
                self._obstacle = str(loss)
            elif self._losses >= LOSS_LIMIT:
                self._failure = TrialError(f"lost its crew {self._losses} times: {loss}")
            else:
                self._guarded(after_loss or self._go_back, after_loss=after_loss)

    def _go_back(self) -> None:
        """To the trial's last checkpoint, or to its beginning."""
        self._restore(self._folder.last_state())
        self._bests.go_back(self._history)
        # What was drawn before a loss may never have been told. What is of a later epoch will be drawn again.
        if self._draws and (drawn := Drawn.kept(self._folder.pictures)) and drawn.epoch <= len(self._history):
            self._drawn = drawn

    def _take_over(self, state: bytes) -> None:
        self._restore(state)
        self._bests.stay()
        if self._history:
            self._save_last()
            self._folder.goes_on_from(state)

    def _restore(self, state: bytes | None) -> None:
        started = self._start(state)
        self._history = list(started.history)
        self._live = started.live
        self._done = started.done
        self._findings = started.findings
        self._draws = started.draws

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
        self._findings = epoch.findings
        self._save_if_due()
        if len(self._history) > self._furthest:  # not for an epoch that is trained again
            self._furthest, self._losses = len(self._history), 0

    def _save_if_due(self) -> None:
        due = self._done is None and self._clock() - self._saved_at >= self._job.training.checkpoint_seconds
        epoch, metrics = len(self._history), self._history[-1]
        if self._bests.improved_by(epoch, metrics):
            self._workers.save(self._folder.best)
            if self._draws:
                self._drawn = self._workers.draw(self._folder.pictures)
            self._bests.add(epoch, metrics)
        if due:
            self._save_last()

    def _save_last(self) -> None:
        self._workers.save(self._folder.last)
        self._saved_at = self._clock()

    def _epoch_result(self, epoch: int) -> Result:
        metrics, live = self._history[epoch - 1], self._live
        self._live = {}
        if epoch == len(self._history) and self._done is not None:
            return Result(epoch=epoch, metrics=metrics, state="finished", reason=self._done, live=live)
        return Result(epoch=epoch, metrics=metrics, live=live)
