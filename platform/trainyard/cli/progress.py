"""A sweep as its events tell it: what runs, what is best, how long it will take. Pure: no clock, no terminal."""

import math
from bisect import insort
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainyard.spec.tasks import STEPS_TO_TARGET
from trainyard.sweep.plan import Plan
from trainyard.tracking.compare import Row, ranked
from trainyard.tracking.events import (
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialFinding,
    TrialPictures,
    TrialStarted,
)

TOP = 10
"""How many of the best trials are kept in order."""
RECENT = 5


@dataclass(kw_only=True)
class TrialView:
    """One trial. `now` and `best` are of the first objective, `values_at_best` of all, at the best epoch; but the steps
    to a target whenever it was reached."""

    number: int
    values: Mapping[str, Any]
    began: float
    state: str = "running"
    reason: str = ""
    epochs: int = 0
    now: float | None = None
    best: float | None = None
    best_epoch: int | None = None
    values_at_best: dict[str, float] = field(default_factory=dict)
    ended: float | None = None

    def seconds(self, now: float) -> float:
        """How long it has run, or ran."""
        return max(0.0, (self.ended or now) - self.began)


class Progress:
    """Takes events, each in constant time. Times are those of the events: seconds since the Unix epoch."""

    def __init__(self, name: str, objectives: Sequence[tuple[str, str]]) -> None:
        self.name = name
        self.objectives = tuple(objectives)
        self.plan: Plan | None = None
        self.trials: dict[int, TrialView] = {}
        self.running: dict[int, TrialView] = {}
        self.best: list[TrialView] = []
        self.recent: deque[TrialView] = deque(maxlen=RECENT)
        self.counts: Counter[str] = Counter()
        self.leader: TrialView | None = None
        self.trouble: TrialView | None = None
        self.finding: TrialFinding | TrialPictures | None = None
        self.paths: dict[str, None] = {}
        self.state = "starting"
        self.reason = ""
        self.began: float | None = None
        self.ended: float | None = None
        self.ends_at: float | None = None
        self._first: float | None = None
        self._first_epoch = 0.0
        self._epochs_here = 0
        self._epochs_ended = 0
        self._epochs_running = 0

    @property
    def total(self) -> int:
        """Trials in all."""
        return max(self.plan.trials if self.plan else 0, len(self.trials))

    @property
    def done(self) -> int:
        """Trials that have ended."""
        return self.counts.total()

    def take(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case SweepStarted():
                self._start(event)
            case TrialStarted():
                self._start_trial(event)
            case TrialEpoch():
                self._epoch(event)
            case TrialFinding():
                self.finding = event
            case TrialPictures() if event.trouble:
                self.finding = event
            case TrialEnded():
                self._end_trial(event)
            case SweepEnded():
                self._stop_running()
                self.state, self.reason, self.ended = event.state, event.reason, event.time

    def _start(self, event: SweepStarted) -> None:
        """The sweep begins, or goes on: what an earlier driver left running waits to be taken up again."""
        self._stop_running()
        self.state, self.reason, self.began, self.ended = "running", "", event.time, None
        self._first, self._epochs_here, self.ends_at = None, 0, None

    def _stop_running(self) -> None:
        for trial in self.running.values():
            trial.state = "interrupted"
        self.running.clear()
        self._epochs_running = 0

    def _start_trial(self, event: TrialStarted) -> None:
        self._first = self._first or event.time
        trial = self.trials.setdefault(
            event.trial, TrialView(number=event.trial, values=dict(event.values), began=event.time)
        )
        trial.state, trial.began = "running", event.time
        self._epochs_running += trial.epochs
        self.running[event.trial] = trial
        self.paths.update(dict.fromkeys(event.values))

    def _epoch(self, event: TrialEpoch) -> None:
        trial = self.trials[event.trial]
        if event.epoch <= trial.epochs:
            return
        trial.epochs = event.epoch
        self._epochs_here += 1
        if self._epochs_here == 1:
            self._first_epoch = event.time
        self._epochs_running += event.trial in self.running
        trial.now = event.metrics.get(self.objectives[0][0])
        if self._better(trial.now, trial.best):
            trial.best, trial.best_epoch = trial.now, event.epoch
            trial.values_at_best = {m: event.metrics[m] for m, _ in self.objectives if m in event.metrics}
            if self.leader is None or self._better(trial.best, self.leader.best):
                self.leader = trial
        if STEPS_TO_TARGET in event.metrics and any(metric == STEPS_TO_TARGET for metric, _ in self.objectives):
            trial.values_at_best[STEPS_TO_TARGET] = event.metrics[STEPS_TO_TARGET]
        self._estimate(event.time)

    def _end_trial(self, event: TrialEnded) -> None:
        trial = self.trials[event.trial]
        if self.running.pop(event.trial, None):
            self._epochs_running -= trial.epochs
        trial.state, trial.reason, trial.ended = event.state, event.reason, event.time
        self.counts[event.state] += 1
        self._epochs_ended += trial.epochs
        self.recent.appendleft(trial)
        if event.state in ("failed", "diverged"):
            self.trouble = trial
        if trial.best is not None:
            insort(self.best, trial, key=self._order)
            del self.best[TOP:]
        self._estimate(event.time)

    def _better(self, value: float | None, than: float | None) -> bool:
        if value is None or not math.isfinite(value):
            return False
        return than is None or (value > than if self.objectives[0][1] == "max" else value < than)

    def _order(self, trial: TrialView) -> tuple[float, int]:
        assert trial.best is not None
        return (-trial.best if self.objectives[0][1] == "max" else trial.best, trial.number)

    def _estimate(self, now: float) -> None:
        """When it will be over: the epochs that are left, at the rate so far of this driver.

        How many epochs a trial takes is first the plan's guess, and more and more what the ended trials took.
        """
        pace = self._pace(now)
        if self.plan is None or pace is None:
            return
        guess = self.plan.expected_epochs / max(1, self.plan.trials)
        weight = self.plan.slots
        each = (guess * weight + self._epochs_ended) / (weight + self.done)
        left = max(0.0, (self.total - self.done) * each - self._epochs_running)
        self.ends_at = now + left * pace

    def _pace(self, now: float) -> float | None:
        """Seconds an epoch. Without the start of the slots, once there are enough epochs to do without the first."""
        if self.plan is None or self._first is None or now <= self._first or self._epochs_here == 0:
            return None
        if self._epochs_here > 2 * self.plan.slots and now > self._first_epoch:
            return (now - self._first_epoch) / (self._epochs_here - 1)
        return (now - self._first) / self._epochs_here

    def rows(self) -> tuple[Row, ...]:
        """All trials as rows of a leaderboard, the best first."""
        rows = [
            Row(
                trial=trial.number,
                run_id="",
                state=trial.state,
                reason=trial.reason,
                objectives={metric: trial.values_at_best.get(metric) for metric, _ in self.objectives},
                best_epoch=trial.best_epoch,
                epochs=trial.epochs,
                seconds=None if trial.ended is None else trial.seconds(trial.ended),
                values=trial.values,
            )
            for trial in self.trials.values()
        ]
        return ranked(rows, self.objectives)
