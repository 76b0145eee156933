"""What MLflow has yet to be told, run by run: events go in, what is due for delivery comes out.

Pure: it knows neither MLflow nor threads nor the clock. Several events of a run become one `Letter`, and a trial that
ends soon after it began becomes a single one, which saves half of the calls that tell it epoch by epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trainyard.spec.section import flatten
from trainyard.tracking.events import (
    Event,
    SweepEnded,
    SweepPictures,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialFinding,
    TrialNote,
    TrialPictures,
    TrialStarted,
)
from trainyard.tracking.names import TAG_LENGTH, text

SWEEP = -1
"""The key of the sweep's own run; those of the trials are their numbers."""

STATUS = {
    "finished": "FINISHED",
    "pruned": "KILLED",
    "interrupted": "KILLED",
    "failed": "FAILED",
    "diverged": "FAILED",
}
"""MLflow's word for each of our states."""


class Number(NamedTuple):
    """One value of a metric; `step` is the epoch that it belongs to."""

    name: str
    value: float
    step: int
    time: float


class Pictures(NamedTuple):
    """Files to be artifacts, by their paths in the journal's folder. of: what tells them from those of before."""

    files: tuple[str, ...]
    of: str


@dataclass(kw_only=True)
class Letter:
    """What one run has yet to be told. Delivering it twice does no harm."""

    key: int
    arrived: float
    began: float
    events: int = 0
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    numbers: list[Number] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    pictures: Pictures | None = None
    goes_on: bool = False
    ended: float | None = None
    noted_late: bool = False

    @property
    def state(self) -> str:
        return self.tags.get("trainyard.state", "running")

    @property
    def epochs(self) -> int:
        return max((item.step for item in self.numbers), default=0)


class Outbox:
    """Collects events by run until they are due.

    standalone: the one trial is the run itself, there is no sweep around it.
    """

    def __init__(self, *, standalone: bool = False) -> None:
        self._standalone = standalone
        self._letters: dict[int, Letter] = {}
        self._epochs: dict[int, int] = {}
        self._open: dict[int, None] = {}
        self._over: set[int] = set()
        self._began: dict[int, float] = {}
        self._settings: dict[str, Any] = {}
        self._pictures: dict[int, Pictures] = {}
        self._missing: set[int] = set()
        self.sweep: SweepStarted | None = None

    @property
    def events(self) -> int:
        """How many events wait here."""
        # Other threads ask too: a list is made in one go, a generator would meet a dictionary that changes.
        return sum(letter.events for letter in list(self._letters.values()))

    @property
    def size(self) -> int:
        """How many metrics, parameters and tags wait here: what the memory goes to."""
        return sum(len(item.numbers) + len(item.params) + len(item.tags) for item in self._letters.values())

    @property
    def runs(self) -> int:
        """How many runs have something to be told."""
        return len(self._letters)

    def add(self, event: Event, now: float) -> None:
        """Take an event. now: seconds on any clock that does not go back; `due` measures from it."""
        match event:
            case SweepStarted():
                self._start_sweep(event, now)
            case TrialStarted():
                self._start_trial(event, now)
            case TrialEpoch():
                self._epoch(event, now)
            case TrialNote():
                self._note(event.trial, event.tags, now)
            case TrialFinding():
                where = f"layer {event.layer}: " if event.layer else ""
                self._note(event.trial, {f"health/{event.finding}": f"{where}{event.reason}"}, now)
            case TrialPictures():
                self._picture(event, now)
            case TrialEnded():
                self._end_trial(event, now)
            case SweepPictures():
                self._pictures[SWEEP] = Pictures(tuple(event.files), "best trials")
                self._letter(SWEEP, now)
            case SweepEnded():
                self._end_sweep(event, now)

    def due(self, now: float, *, hold: float) -> list[Letter]:
        """Letters of runs that have ended or have waited for `hold` seconds; the end of the sweep comes last."""
        letters = [item for item in self._letters.values() if item.ended is not None or now - item.arrived >= hold]
        return sorted(letters, key=lambda item: item.key == SWEEP and item.ended is not None)

    def remove(self, letter: Letter) -> None:
        """The letter has been delivered."""
        del self._letters[letter.key]

    def identity(self, key: int) -> dict[str, str]:
        """The tags by which a run is found again."""
        assert self.sweep is not None, "events of trials before SweepStarted"
        tags = {"trainyard.sweep_id": self.sweep.sweep_id}
        if self._standalone:
            return tags | {"trainyard.kind": "trial", "trainyard.name": self.sweep.name}
        tags["trainyard.sweep"] = self.sweep.name
        if key == SWEEP:
            return tags | {"trainyard.kind": "sweep"}
        return tags | {"trainyard.kind": "trial", "trainyard.trial": str(key)}

    def name(self, key: int) -> str:
        """What MLflow's tables call a run."""
        assert self.sweep is not None
        return self.sweep.name if key == SWEEP else f"trial-{key}"

    def _key(self, trial: int) -> int:
        return SWEEP if self._standalone else trial

    def _letter(self, key: int, now: float) -> Letter:
        if key not in self._letters:
            self._letters[key] = Letter(key=key, arrived=now, began=self._began.get(key, 0.0))
        self._letters[key].events += 1
        return self._letters[key]

    def _start_sweep(self, event: SweepStarted, now: float) -> None:
        self.sweep = self.sweep or event
        self._began.setdefault(SWEEP, event.time)
        self._settings = flatten(dict(event.job))
        letter = self._letter(SWEEP, now)
        letter.tags |= event.tags
        letter.tags["trainyard.objectives"] = text([list(pair) for pair in event.objectives], TAG_LENGTH)
        letter.files = _files(event)
        self._open_up(letter)

    def _start_trial(self, event: TrialStarted, now: float) -> None:
        key = self._key(event.trial)
        self._began.setdefault(key, event.time)
        letter = self._letter(key, now)
        letter.params = dict(event.settings) or self._settings | dict(event.values)
        sampled = ", ".join(event.values)
        # Too long to be whole it would be of no use: `compare` then shows what differs between the trials.
        if 0 < len(sampled) <= TAG_LENGTH:
            letter.tags["trainyard.sampled"] = sampled
        self._open_up(letter)

    def _epoch(self, event: TrialEpoch, now: float) -> None:
        key = self._key(event.trial)
        if event.epoch <= self._epochs.get(key, 0):
            return
        self._epochs[key] = event.epoch
        letter = self._letter(key, now)
        letter.tags["trainyard.epochs"] = str(event.epoch)
        letter.numbers += [Number(name, value, event.epoch, event.time) for name, value in event.metrics.items()]
        self._open_up(letter)

    def _note(self, trial: int, tags: Mapping[str, Any], now: float) -> None:
        letter = self._letter(self._key(trial), now)
        letter.tags |= {name: text(value, TAG_LENGTH) for name, value in tags.items()}
        letter.noted_late |= letter.key not in self._open

    def _picture(self, event: TrialPictures, now: float) -> None:
        """They are delivered when the run ends: until then better ones may take their place."""
        key = self._key(event.trial)
        self._pictures[key] = Pictures(tuple(event.files), str(event.epoch))
        letter = self._letter(key, now)
        if event.trouble or key in self._missing:
            letter.tags["trainyard.pictures_missing"] = text(event.trouble, TAG_LENGTH)
            self._missing.add(key)

    def _end_trial(self, event: TrialEnded, now: float) -> None:
        letter = self._letter(self._key(event.trial), now)
        letter.numbers += [Number(f"best/{best.metric}", best.value, best.epoch, event.time) for best in event.best]
        letter.numbers += [Number("best/epoch", best.epoch, best.epoch, event.time) for best in event.best[:1]]
        self._close(letter, event.state, event.reason, event.time)

    def _end_sweep(self, event: SweepEnded, now: float) -> None:
        for trial in [key for key in self._open if key != SWEEP]:
            self._close(self._letter(trial, now), "interrupted", event.reason, event.time)
        if SWEEP in self._open:
            self._close(self._letter(SWEEP, now), event.state, event.reason, event.time)

    def _open_up(self, letter: Letter) -> None:
        """The run goes on, or begins."""
        if letter.key in self._open:
            return
        self._open[letter.key] = None
        letter.tags["trainyard.state"] = "running"
        if letter.key in self._over:
            self._over.remove(letter.key)
            letter.tags["trainyard.reason"] = ""
            letter.goes_on, letter.ended = True, None

    def _close(self, letter: Letter, state: str, reason: str, time: float) -> None:
        self._open.pop(letter.key, None)
        self._over.add(letter.key)
        letter.ended, letter.goes_on = time, False
        letter.pictures = self._pictures.get(letter.key)
        letter.tags["trainyard.state"] = state
        if reason:
            letter.tags["trainyard.reason"] = text(reason, TAG_LENGTH)


def _files(event: SweepStarted) -> dict[str, str]:
    files = {"job.yaml": event.job, "space.yaml": event.space}
    written = {name: _yaml(content) for name, content in files.items() if content}
    return written | ({"environment.txt": event.environment} if event.environment else {})


def _yaml(content: Mapping[str, Any]) -> str:
    from io import StringIO

    from ruamel.yaml import YAML

    stream = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(content, stream)
    return stream.getvalue()
