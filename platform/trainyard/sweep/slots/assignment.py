"""What a slot and its workers tell each other about a trial. Plain values: importing this costs nothing."""

from dataclasses import dataclass, field
from typing import Any

from trainyard.training.gradients.health import Finding
from trainyard.training.pictures import Drawn

__all__ = ["Assignment", "Drawn", "EpochDone", "Started"]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A trial as it is handed to a slot.

    `reported` is the last epoch that the driver has heard of: epochs up to it may have to be trained again, after a
    loss, but are not reported again.
    """

    trial: int
    values: dict[str, Any] = field(default_factory=dict)
    reported: int = 0


@dataclass(frozen=True, kw_only=True)
class Started:
    """A trial that stands ready: its finished epochs' metrics, and the sampled values read back from live objects.

    findings: what was found to be wrong with its training in those epochs. draws: whether it has pictures to draw.
    """

    history: tuple[dict[str, float], ...]
    live: dict[str, Any]
    done: str | None
    findings: tuple[Finding, ...] = ()
    draws: bool = False


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One epoch's metrics, and why the trial is at its end, if it is.

    findings: what was found to be wrong with the training, in this epoch and before.
    """

    metrics: dict[str, float]
    done: str | None
    findings: tuple[Finding, ...] = ()
