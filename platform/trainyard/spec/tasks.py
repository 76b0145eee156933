"""What each task reports, and what fits it: what a job is checked against before anything is imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["min", "max"]
TaskName = Literal["classification", "semantic_segmentation", "promptable_segmentation", "detection"]


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """The names that a task knows.

    annotation: what a data set must have beside its images.
    metrics: the metrics an objective or early stopping may name, each with the mode in which it is better.
    class_metrics: those that each class has too, under `<metric>/<class>`; more is better.
    loss_terms: the terms a loss may mix.
    pictured: whether there is more to an answer than its name, so that pictures of it are drawn.
    """

    annotation: Literal["label", "mask", "boxes"]
    metrics: Mapping[str, Mode]
    class_metrics: frozenset[str] = frozenset()
    loss_terms: frozenset[str]
    pictured: bool = True


TASKS: Mapping[str, TaskFacts] = {
    "classification": TaskFacts(
        annotation="label",
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
        class_metrics=frozenset({"val/precision", "val/recall", "val/f1", "val/average_precision"}),
        loss_terms=frozenset({"binary_cross_entropy", "cross_entropy", "focal"}),
        pictured=False,
    ),
    "semantic_segmentation": TaskFacts(
        annotation="mask",
        metrics={
            "val/loss": "min",
            "val/miou": "max",
            "val/dice": "max",
            "val/pixel_accuracy": "max",
            "train/loss": "min",
            "train/pixel_accuracy": "max",
        },
        class_metrics=frozenset({"val/iou", "val/dice"}),
        loss_terms=frozenset(
            {"cross_entropy", "binary_cross_entropy", "focal", "dice", "jaccard", "tversky", "lovasz"}
        ),
    ),
    "promptable_segmentation": TaskFacts(
        annotation="mask",
        metrics={
            "val/loss": "min",
            "val/iou": "max",
            "val/dice": "max",
            "train/loss": "min",
            "train/iou": "max",
        },
        loss_terms=frozenset({"binary_cross_entropy", "focal", "dice", "jaccard", "tversky", "lovasz"}),
    ),
    "detection": TaskFacts(
        annotation="boxes",
        metrics={
            "val/loss": "min",
            "val/map": "max",
            "val/map50": "max",
            "val/map75": "max",
            "train/loss": "min",
        },
        class_metrics=frozenset({"val/ap"}),
        loss_terms=frozenset(
            {"heatmap", "size", "offset", "classification", "box", "objectness", "proposal_box", "centerness"}
        ),
    ),
}
"""By name: one for each TaskName."""

STEPS_TO_TARGET = "val/steps_to_target"
"""With `training.target`, of any task: the steps after which the target was first reached. There is none before."""


def metric_mode(task: TaskName, metric: str) -> Mode | None:
    """The mode in which a metric is better, also one of a single class; None for no metric of the task."""
    if metric == STEPS_TO_TARGET:
        return "min"
    return "max" if class_of(task, metric) else TASKS[task].metrics.get(metric)


def class_of(task: TaskName, metric: str) -> str | None:
    """The class of which a metric is, `rust` of `val/precision/rust`; None for one of all classes together."""
    split, _, rest = metric.partition("/")
    measure, _, name = rest.partition("/")
    return name or None if f"{split}/{measure}" in TASKS[task].class_metrics else None
