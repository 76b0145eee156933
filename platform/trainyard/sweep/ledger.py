"""The ledger of a sweep: who proposes, what was trained, what came of it; one place that everybody hears it from.

An event goes to the journal first (`record`, from where the recorder copies it to MLflow), then to the listeners (the
table on the terminal), then to Optuna. A driver that dies in between is made good at the resume: the journal is the
truth, and what Optuna or MLflow lack is told to them again.
"""

import bisect
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from trainyard.spec.job import Job
from trainyard.spec.tasks import STEPS_TO_TARGET
from trainyard.sweep.record import TrialRecord, found, pictures_of, replay
from trainyard.sweep.search.study import Proposal, Study
from trainyard.sweep.slots.assignment import Assignment
from trainyard.tracking.events import (
    Event,
    SweepEnded,
    SweepPictures,
    SweepStarted,
    SweepState,
    TrialEpoch,
    TrialNote,
    TrialStarted,
    TrialState,
)
from trainyard.training.gradients.health import Finding
from trainyard.training.pictures import Drawn

Listener = Callable[[Event], None]


class Ledger:
    """Hands out assignments and takes in results. Used from one thread, the driver's.

    records: every trial by its number. ended: the numbers of the ended ones, in the order of their ends. hopeless: why
    the sweep should stop, because its first trials all failed for the same reason; None while there is hope.
    """

    def __init__(
        self,
        *,
        study: Study,
        record: Listener,
        past: Sequence[Event],
        job: Job,
        stop_after_failures: int,
        listeners: Sequence[Listener],
        change: AbstractContextManager[Any] | None = None,
    ) -> None:
        """change: held while something is changed, so that no copy of journal and study is taken in between."""
        self._change = change or threading.Lock()
        self._job = job
        self.objectives = job.objectives
        self.records = replay(past, self.objectives)
        self.ended: list[int] = []
        self.hopeless: str | None = None
        self._study = study
        self._record = record
        self._stop_after_failures = stop_after_failures
        self._listeners = tuple(listeners)
        self._ranking: list[tuple[float, int]] = []
        for past_record in self.records.values():
            if past_record.ended:
                self._rank(past_record)
        self._waiting = self._reconcile()

    def _reconcile(self) -> list[Proposal]:
        """Tell Optuna what only the journal knows; return the trials that are still to be trained to their end."""
        waiting = []
        for proposal in self._study.unfinished():
            record = self.records.get(proposal.trial)
            if record is None or record.state == "running":
                waiting.append(proposal)
            else:
                self._study.tell(proposal.trial, record.state, _values(record))
        return waiting

    def open(self, event: SweepStarted) -> None:
        """The sweep begins, or goes on."""
        with self._change:
            self._send(event)

    @property
    def remaining(self) -> int:
        """Trials that are still to be handed out, unfinished ones of an earlier driver included."""
        return self._study.total - len(self.records) + sum(p.trial in self.records for p in self._waiting)

    def propose(self) -> Assignment | None:
        """The next trial to train: first those that an earlier driver left unfinished. None: no more."""
        with self._change:
            return self._propose()

    def _propose(self) -> Assignment | None:
        proposal = self._waiting.pop(0) if self._waiting else self._study.ask()
        if proposal is None:
            return None
        fresh = TrialRecord(proposal.trial, proposal.values, self.objectives)
        record = self.records.setdefault(proposal.trial, fresh)
        settings = self._job.with_values(record.values).values()
        self._send(TrialStarted(trial=proposal.trial, values=record.values, settings=settings))
        return Assignment(trial=proposal.trial, values=dict(record.values), reported=record.epochs)

    def epoch(self, trial: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch has been reported. One that is known already is not taken twice."""
        event = TrialEpoch(trial=trial, epoch=epoch, metrics=metrics)
        if self.records[trial].take(event):
            with self._change:
                self._send(event)
                self._study.report(trial, epoch=epoch, value=metrics.get(self.objectives[0].metric, math.nan))

    def note(self, trial: int, tags: Mapping[str, Any]) -> None:
        """Something to know about a trial, such as values read back from its live optimizer."""
        self._send(TrialNote(trial=trial, tags=tags))

    def finding(self, trial: int, finding: Finding) -> None:
        """Something is wrong with a trial's training. What is known already is not taken twice."""
        event = found(trial, finding)
        if self.records[trial].find(event):
            self._send(event)

    def drawn(self, trial: int, drawn: Drawn) -> None:
        """Pictures of a trial's best epoch have been drawn. What is known already is not taken twice."""
        event = pictures_of(trial, drawn)
        if self.records[trial].picture(event):
            self._send(event)

    def sheets(self, event: SweepPictures) -> None:
        """The best trials' pictures have been put together."""
        self._send(event)

    def end(self, trial: int, state: TrialState, reason: str) -> None:
        """A trial has ended: finished, pruned, failed or diverged. A second end is not taken."""
        record = self.records[trial]
        if record.ended:
            return
        event = record.end(state, reason)
        self._rank(record)
        with self._change:
            self._send(event)
            self._study.tell(trial, event.state, _values(record))
        self._despair_if_due()

    def close(self, state: SweepState, reason: str) -> None:
        """The sweep has ended: finished, interrupted or failed."""
        self._send(SweepEnded(state=state, reason=reason))

    def best_trials(self, count: int) -> list[int]:
        """The best ended trials by the first objective, best first; those without a value never."""
        return [number for _, number in self._ranking[:count]]

    def _rank(self, record: TrialRecord) -> None:
        self.ended.append(record.number)
        if record.best:
            sign = -1 if self.objectives[0].mode == "max" else 1
            bisect.insort(self._ranking, (sign * record.best[0].value, record.number))

    def _despair_if_due(self) -> None:
        if len(self.ended) != self._stop_after_failures:
            return
        first = [self.records[number] for number in self.ended]
        reasons = {re.sub(r"\d+", "#", record.reason) for record in first}
        if len(reasons) == 1 and all(record.state == "failed" for record in first):
            several = f"the first {len(first)} trials all failed for the same reason" if len(first) > 1 else "failed"
            self.hopeless = f"{several}: {first[0].reason}"

    def _send(self, event: Event) -> None:
        self._record(event)
        for listener in self._listeners:
            listener(event)


def _values(record: TrialRecord) -> list[float] | None:
    """The objectives at the best epoch, as Optuna is told them.

    A target that was not reached would take any number of steps: infinitely many are worse than what others took.
    """
    values = {best.metric: best.value for best in record.best}
    wanted = [objective.metric for objective in record.objectives]
    if not values and (wanted != [STEPS_TO_TARGET] or record.state != "finished"):
        return None
    return [values.get(metric, math.inf) for metric in wanted]
