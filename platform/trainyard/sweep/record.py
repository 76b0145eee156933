"""What is known of one trial: its values, its epochs, its best one, its end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trainyard.spec.tasks import STEPS_TO_TARGET
from trainyard.spec.training import Objective
from trainyard.sweep.results.checkpoints import PICTURES, TRIALS
from trainyard.tracking.events import (
    Best,
    Event,
    TrialEnded,
    TrialEpoch,
    TrialFinding,
    TrialPictures,
    TrialStarted,
    TrialState,
)
from trainyard.training.gradients.health import Finding
from trainyard.training.pictures import Drawn


@dataclass
class TrialRecord:
    """A trial as the events amount to it. `best_epoch` is by the first objective; the first of equals stands.

    target: the steps to the target, and the epoch in which it was reached, if it was.
    """

    number: int
    values: Mapping[str, Any]
    objectives: tuple[Objective, ...]
    epochs: int = 0
    state: TrialState | Literal["running"] = "running"
    reason: str = ""
    best_epoch: int | None = None
    best_metrics: Mapping[str, float] = field(default_factory=dict)
    target: Best | None = None
    findings: set[str] = field(default_factory=set)
    pictures: TrialPictures | None = None

    @property
    def ended(self) -> bool:
        return self.state != "running"

    def take(self, event: TrialEpoch) -> bool:
        """Hear of an epoch. False, and nothing changes, if it is known already."""
        if event.epoch <= self.epochs:
            return False
        self.epochs = event.epoch
        first = self.objectives[0]
        value = event.metrics.get(first.metric, math.nan)
        if first.improves(value, on=self.best_metrics.get(first.metric)):
            self.best_epoch, self.best_metrics = event.epoch, event.metrics
        if self.target is None and STEPS_TO_TARGET in event.metrics:
            self.target = Best(metric=STEPS_TO_TARGET, value=event.metrics[STEPS_TO_TARGET], epoch=event.epoch)
        return True

    def find(self, event: TrialFinding) -> bool:
        """Hear that something is wrong. False, and nothing changes, if it is known already."""
        known = event.finding in self.findings
        self.findings.add(event.finding)
        return not known

    def picture(self, event: TrialPictures) -> bool:
        """Hear of pictures. False if just these are known already."""
        known = event == self.pictures
        self.pictures = event
        return not known

    def end(self, state: TrialState, reason: str) -> TrialEnded:
        """The trial is over. One whose objective never was a number has not finished, whatever its worker says, unless
        it was to reach a target and did not."""
        if state == "finished" and self.best_epoch is None:
            if self.objectives[0].metric == STEPS_TO_TARGET:
                reason = f"{reason}; the target was not reached"
            else:
                state, reason = "diverged", f"{self.objectives[0].metric} was never a finite number"
        self.state, self.reason = state, reason
        return TrialEnded(trial=self.number, state=state, reason=reason, best=self.best)

    @property
    def best(self) -> tuple[Best, ...]:
        """Every objective at the best epoch, but the steps to a target in the epoch that reached it, before or after,
        and not at all if none did. Nothing where there is no best epoch."""
        if self.best_epoch is None:
            return ()
        told = (
            self.target
            if o.metric == STEPS_TO_TARGET
            else Best(metric=o.metric, value=self.best_metrics.get(o.metric, math.nan), epoch=self.best_epoch)
            for o in self.objectives
        )
        return tuple(best for best in told if best is not None)


def found(trial: int, finding: Finding) -> TrialFinding:
    """What is told of a finding."""
    return TrialFinding(trial=trial, finding=finding.name, layer=finding.layer, reason=finding.reason)


def pictures_of(trial: int, drawn: Drawn) -> TrialPictures:
    """What is told of pictures that were drawn."""
    folder = f"{TRIALS}/{trial:05d}/{PICTURES}"
    files = [f"{folder}/{name}" for name in drawn.files]
    return TrialPictures(trial=trial, epoch=drawn.epoch, files=files, trouble=drawn.trouble)


def replay(events: Sequence[Event], objectives: Sequence[Objective]) -> dict[int, TrialRecord]:
    """The records that a journal amounts to, by trial."""
    records: dict[int, TrialRecord] = {}
    for event in events:
        match event:
            case TrialStarted():
                records.setdefault(event.trial, TrialRecord(event.trial, event.values, tuple(objectives)))
            case TrialEpoch():
                records[event.trial].take(event)
            case TrialFinding():
                records[event.trial].find(event)
            case TrialPictures():
                records[event.trial].picture(event)
            case TrialEnded():
                records[event.trial].state, records[event.trial].reason = event.state, event.reason
    return records
