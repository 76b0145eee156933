"""What each task reports and which loss terms fit it: what a job is checked against before anything is imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["min", "max"]


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """The names that a task knows.

    metrics: the metrics an objective or early stopping may name, each with the mode in which it is better.
    loss_terms: the terms a loss may mix.
    """

    metrics: Mapping[str, Mode]
    loss_terms: frozenset[str]


TASKS: Mapping[str, TaskFacts] = {
    "classification": TaskFacts(
        metrics={
            "val/loss": "min",
            "val/accuracy": "max",
            "val/top5_accuracy": "max",
            "val/f1": "max",
            "val/precision": "max",
            "val/recall": "max",
            "train/loss": "min",
            "train/accuracy": "max",
        },
        loss_terms=frozenset({"cross_entropy", "focal"}),
    ),
}
