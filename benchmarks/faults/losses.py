"""What a kill costs the trials that it hits, in seconds, by the events of the journal."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from trainyard.tracking.events import Event, TrialEnded, TrialEpoch, TrialStarted


@dataclass(frozen=True, kw_only=True)
class Struck:
    """A kill that was carried out. hit: the trials in the processes that died; None: not known.

    at: Unix time. until: for one that was announced `at` that time, when it came; what it costs lies between the two.
    """

    number: int
    kind: str
    at: float
    until: float | None = None
    hit: tuple[int, ...] | None = None


def lost_seconds(events: Sequence[Event], struck: Sequence[Struck]) -> dict[int, dict[int, float]]:
    """By kill and trial, how much later the trial's next epoch came than it would have.

    A trial that is hit again before that next epoch counts for the first kill only. Where no trial is known to have
    been hit, it was the one under way that waited longest for its next epoch.
    """
    marks = _marks(events)
    usual = _usual(marks)
    lost: dict[int, dict[int, float]] = {}
    blamed: dict[int, float] = {}
    for kill in sorted(struck, key=lambda kill: kill.at):
        until = kill.at if kill.until is None else kill.until
        gaps = {trial: gap for trial, times in marks.items() if (gap := _gap(times, kill.at, until)) is not None}
        if kill.hit is not None:
            hit = [trial for trial in kill.hit if trial in gaps]
        else:
            hit = sorted(gaps, key=lambda trial: gaps[trial][1] - gaps[trial][0])[-1:]
        lost[kill.number] = {}
        for trial in hit:
            before, after = gaps[trial]
            if blamed.get(trial) != after:
                blamed[trial] = after
                lost[kill.number][trial] = max(0.0, after - before - usual)
    return lost


def usual_epoch(events: Sequence[Event]) -> float:
    """The median of the seconds between the epochs of a trial."""
    return _usual(_marks(events))


def _usual(marks: Mapping[int, Sequence[float]]) -> float:
    gaps = [after - before for times in marks.values() for before, after in pairwise(times[1:])]
    return statistics.median(gaps) if gaps else 0.0


def _marks(events: Sequence[Event]) -> dict[int, list[float]]:
    """When each trial began for the first time, and when each of its epochs was reported."""
    marks: dict[int, list[float]] = {}
    ended: set[int] = set()
    for event in events:
        if isinstance(event, TrialStarted):
            marks.setdefault(event.trial, [event.time])
        elif isinstance(event, TrialEpoch) and event.trial not in ended:
            marks[event.trial].append(event.time)
        elif isinstance(event, TrialEnded):
            ended.add(event.trial)
    return marks


def _gap(times: Sequence[float], since: float, until: float) -> tuple[float, float] | None:
    """The longest time from one mark to the next that has a moment in common with the span; None where none has."""
    gaps = [(before, after) for before, after in pairwise(times) if before <= until and after > since]
    return max(gaps, key=lambda gap: gap[1] - gap[0], default=None)


def by_kind(struck: Sequence[Struck], lost: Mapping[int, Mapping[int, float]]) -> list[dict[str, Any]]:
    """A row of the table for each kind of kill."""
    rows = []
    for kind in dict.fromkeys(kill.kind for kill in struck):
        of_kind = [kill for kill in struck if kill.kind == kind]
        seconds = [value for kill in of_kind for value in lost.get(kill.number, {}).values()]
        rows.append(
            {
                "killed": kind,
                "kills": len(of_kind),
                "trials hit": len(seconds),
                "median s lost": statistics.median(seconds) if seconds else None,
                "worst s lost": max(seconds, default=None),
            }
        )
    return rows
