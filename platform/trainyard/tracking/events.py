"""What happens in a sweep, as values. The journal keeps them, the recorder copies them to MLflow.

Times are seconds since the Unix epoch. An event is written once and read back equal, NaN aside: a metric keeps its time
for good, by which MLflow recognises one that it already holds.
"""

import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

_PICTURE = re.compile(r"(trials/[0-9]{5,}/)?pictures/[A-Za-z0-9_-]+\.png")

Scalar = bool | int | float | str | None
TrialState = Literal["finished", "pruned", "failed", "diverged"]
SweepState = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True, kw_only=True)
class SweepStarted:
    """A sweep begins, or goes on: a journal that was resumed has one for every start.

    job, space: the specs as plain values (`Job.to_dict()`).
    objectives: pairs of metric and mode, such as `("val/accuracy", "max")`.
    tags: of the sweep's run in MLflow: git commit, fingerprint of the data, versions.
    environment: text of `environment.txt`.
    sweep_id: tells sweeps of one name apart. Only that of a journal's first event counts.
    """

    kind: ClassVar[str] = "sweep_started"
    name: str
    job: Mapping[str, Any]
    space: Mapping[str, Any] | None = None
    objectives: Sequence[tuple[str, str]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    environment: str = ""
    sweep_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    time: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple((metric, mode) for metric, mode in self.objectives))


@dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """A trial begins, or goes on after an interruption.

    values: what was sampled for it, by path of the job.
    settings: all of its settings by path (`Job.values()`), where they are not the job's with `values` put in: another
    optimizer has other settings.
    """

    kind: ClassVar[str] = "trial_started"
    trial: int
    values: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class TrialEpoch:
    """A trial has finished an epoch; the first is 1.

    Epochs count up within a trial. One that comes again was trained again after a crash: the first stands.
    """

    kind: ClassVar[str] = "trial_epoch"
    trial: int
    epoch: int
    metrics: Mapping[str, float]
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class TrialNote:
    """Something to know about a trial: tags of its run in MLflow, such as values read back from the live optimizer."""

    kind: ClassVar[str] = "trial_note"
    trial: int
    tags: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrialFinding:
    """Something is wrong with a trial's training: its gradients vanish, a layer is dead, ... It goes on.

    finding: in a word; each comes at most once a trial. layer: its path in the model; empty where it is no one layer's.
    """

    kind: ClassVar[str] = "trial_finding"
    trial: int
    finding: str
    layer: str
    reason: str

    def __str__(self) -> str:
        """`vanishing in layer 0: its gradient's norm is ...`."""
        where = f" in layer {self.layer}" if self.layer else ""
        return f"{self.finding}{where}: {' '.join(self.reason.split())}"


@dataclass(frozen=True, kw_only=True)
class TrialPictures:
    """The pictures of a trial's best epoch so far lie there; those told of before are no more.

    files: paths in the sweep's folder; ValueError for others. trouble: why some are missing; empty if none is.
    """

    kind: ClassVar[str] = "trial_pictures"
    trial: int
    epoch: int
    files: Sequence[str] = ()
    trouble: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", _pictures(self.files))

    def __str__(self) -> str:
        """What is wrong with them, in a line."""
        return f"pictures of epoch {self.epoch} are missing: {' '.join(self.trouble.split())}"


@dataclass(frozen=True, kw_only=True)
class SweepPictures:
    """The best trials' pictures of each image lie there together.

    files: paths in the sweep's folder; ValueError for others.
    """

    kind: ClassVar[str] = "sweep_pictures"
    files: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", _pictures(self.files))


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best value of an objective in a trial, and the epoch it was reached in."""

    metric: str
    value: float
    epoch: int


@dataclass(frozen=True, kw_only=True)
class TrialEnded:
    """A trial is over. best: one for every objective that it has; none where no epoch was finished."""

    kind: ClassVar[str] = "trial_ended"
    trial: int
    state: TrialState
    reason: str = ""
    best: Sequence[Best] = ()
    time: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        best = tuple(item if isinstance(item, Best) else Best(**item) for item in self.best or ())
        object.__setattr__(self, "best", best)


@dataclass(frozen=True, kw_only=True)
class SweepEnded:
    """A sweep is over. Trials that have not ended were interrupted with it, and go on when it is resumed."""

    kind: ClassVar[str] = "sweep_ended"
    state: SweepState
    reason: str = ""
    time: float = field(default_factory=time.time)


Event = (
    SweepStarted
    | TrialStarted
    | TrialEpoch
    | TrialNote
    | TrialFinding
    | TrialPictures
    | TrialEnded
    | SweepPictures
    | SweepEnded
)

_KINDS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        SweepStarted,
        TrialStarted,
        TrialEpoch,
        TrialNote,
        TrialFinding,
        TrialPictures,
        TrialEnded,
        SweepPictures,
        SweepEnded,
    )
}


def to_json(event: Event) -> str:
    """One line of ASCII without its end. NaN and infinities are written as Python's `json` does, and read back."""
    content = {item.name: getattr(event, item.name) for item in fields(event)}
    return json.dumps({"event": event.kind, **content}, default=_plain, separators=(",", ":"))


def from_json(line: str | bytes) -> Event:
    """The event that a line holds; ValueError says what is wrong with the line."""
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ValueError(f"an event is a mapping, not {type(content).__name__}")
    kind = _KINDS.get(content.pop("event", None))
    if kind is None:
        raise ValueError("no such event; a newer trainyard may have written it")
    try:
        return kind(**content)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _pictures(files: Sequence[str]) -> tuple[str, ...]:
    """The paths, if they are those of pictures. What they name is uploaded: a journal may come from elsewhere."""
    for file in files:
        if not _PICTURE.fullmatch(file):
            raise ValueError(f"no picture of a sweep is at {file!r}")
    return tuple(files)


def _plain(value: Any) -> Any:
    """What JSON has no word for: our own small dataclasses, numbers of numpy and torch, paths."""
    if isinstance(value, Best):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
