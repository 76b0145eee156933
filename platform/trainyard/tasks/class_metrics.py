"""Which classes are measured by themselves."""

from collections.abc import Collection, Sequence

from trainyard.spec.tasks import TASKS, TaskName, class_of

MOST_CLASSES = 32
"""Up to so many classes, each is measured by itself; of more, those that the job names: a hundred classes would be four
hundred metrics in every epoch."""


def measured_classes(classes: Sequence[str], named: Collection[str]) -> list[str]:
    """Of a data set's classes, in their order. named: by the job."""
    return [name for name in classes if len(classes) <= MOST_CLASSES or name in named]


def named_classes(task: TaskName, metrics: Collection[str]) -> set[str]:
    """The classes that some metrics are of."""
    return {name for metric in metrics if (name := class_of(task, metric))}


def metrics_of(task: TaskName, measured: Collection[str]) -> frozenset[str]:
    """The metrics that can be reported, those of the classes that are measured by themselves among them."""
    facts = TASKS[task]
    return frozenset({*facts.metrics, *(f"{measure}/{name}" for measure in facts.class_metrics for name in measured)})
