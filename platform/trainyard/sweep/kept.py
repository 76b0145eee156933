"""The trials of a sweep, or the one of a training, as they lie in its folder: what was recorded, and the best states.

It is read only, by whoever likes, also while a driver writes there. Imports no Ray.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard.data.location import Location
from trainyard.errors import UsageError
from trainyard.spec.job import Job
from trainyard.sweep.record import TrialRecord, replay
from trainyard.sweep.results.checkpoints import TRIALS, TrialFolder
from trainyard.sweep.results.folder import SweepFolder
from trainyard.tracking.events import Event, SweepStarted
from trainyard.tracking.journal import Journal
from trainyard.training.checkpoint import load_state


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A sweep or a training with all that was recorded of it; of one in a bucket, as far as its driver has brought it
    there. space: whether it is a sweep."""

    name: str
    place: Location
    job: Job
    space: bool
    events: tuple[Event, ...]
    records: Mapping[int, TrialRecord]

    @classmethod
    def read(cls, folder: SweepFolder, code: Path | None = None) -> "Kept":
        """code: where the code of the user's own model is now, if not where it was. UsageError without a record."""
        job, events = folder.job(code), tuple(Journal.read(folder.journal))
        if not any(isinstance(event, SweepStarted) for event in events):
            raise UsageError(f"{folder.place}: nothing has been recorded there yet.")
        records = replay(events, job.objectives)
        space = folder.space() is not None
        return cls(name=folder.name, place=folder.place, job=job, space=space, events=events, records=records)

    @property
    def noun(self) -> str:
        return "sweep" if self.space else "training"

    @property
    def starts(self) -> list[SweepStarted]:
        """One for each time that it was begun or gone on with."""
        return [event for event in self.events if isinstance(event, SweepStarted)]

    def trial(self, number: int | None) -> TrialRecord:
        """The trial of this number, or the best one. UsageError where there is none."""
        if number is None:
            best = self._best()
            if best is None:
                raise UsageError(f"{self.noun} {self.name}: no trial has a best epoch yet, so there is no state of it.")
            return best
        if number not in self.records:
            there = f"They are 0 to {max(self.records)}." if self.records else "There are none yet."
            raise UsageError(f"{self.noun} {self.name} has no trial {number}. {there}")
        return self.records[number]

    def _best(self) -> TrialRecord | None:
        """By the first objective, of equals by the others."""
        ranked = [record for record in self.records.values() if record.best_epoch is not None]
        return min(ranked, key=lambda record: (*self._costs(record), record.number), default=None)

    def _costs(self, record: TrialRecord) -> list[float]:
        values = {best.metric: best.value for best in record.best}
        signs = {objective.metric: -1 if objective.mode == "max" else 1 for objective in self.job.objectives}
        return [signs[metric] * values[metric] if metric in values else math.inf for metric in signs]

    def best_state(self, record: TrialRecord) -> dict[str, Any]:
        """The state at the trial's best epoch. UsageError naming the trials that have one, where it has none;
        RunError where it can't be read."""
        place = TrialFolder(self.place, record.number).best
        if not place.exists():
            raise UsageError(self._no_state(record))
        return load_state(place)

    def _no_state(self, record: TrialRecord) -> str:
        reason = f"no best state of trial {record.number} is kept"
        if not self.space:
            return f"training {self.name}: {reason}: it has had no best epoch yet."
        kept = self._trials_with_states()
        others = f"They are kept of: {', '.join(map(str, kept))} (--trial N)." if kept else "None is kept of any."
        return f"sweep {self.name}: {reason}. {others} search.keep_checkpoints says how many of the best keep theirs."

    def _trials_with_states(self) -> list[int]:
        place = self.place / TRIALS
        if place.local and not place.exists():
            return []
        found = (file.path.split("/") for file in place.walk())
        return sorted(int(path[0]) for path in found if path[0].isdigit() and path[1:] == ["best.pt"])
