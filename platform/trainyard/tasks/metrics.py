"""Metrics by torchmetrics, whose import is kept cheap."""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

COSTLY = ("matplotlib", "scipy", "torchvision")
"""What `import torchmetrics` imports wherever it is installed, whether or not it is needed."""


class SummedMetrics:
    """A collection of torchmetrics whose states are sums over rows, metrics of one compute group sharing theirs."""

    def __init__(self, metrics: "MetricCollection") -> None:
        self._metrics = metrics

    def reset(self) -> None:
        self._metrics.reset()

    def update(self, output: Tensor, target: Tensor) -> None:
        self._metrics.update(output, target)

    def sums(self) -> list[Tensor]:
        """The states, to be changed in place when those of several workers are added up."""
        metrics = dict(self._metrics.items(keep_base=True, copy_state=False))
        leaders = [metrics[group[0]] for group in self._metrics.compute_groups.values()]
        return [state for leader in leaders for state in leader.metric_state.values() if isinstance(state, Tensor)]

    def compute(self) -> dict[str, float]:
        with warnings.catch_warnings():
            # A worker without rows of its own has got its sums from the others, and torchmetrics misses the update.
            warnings.filterwarnings("ignore", message="The ``compute`` method", category=UserWarning)
            return {name: float(value) for name, value in self._metrics.compute().items()}


def multiclass_metrics(classes: int, *, top_k: int, device: torch.device) -> SummedMetrics:
    """Of logits (N, K) and labels (N,): accuracy, macro f1, precision, recall, and top<k>_accuracy if K > top_k."""
    with _costly_packages_hidden():
        import torchmetrics
        import torchmetrics.classification as metrics
    # Checking arguments would wait for the GPU in each update; sync_on_compute would gather every metric by itself.
    quick: dict[str, Any] = {"validate_args": False, "sync_on_compute": False}
    chosen: dict[str, Any] = {
        "accuracy": metrics.MulticlassAccuracy(classes, average="micro", **quick),
        "f1": metrics.MulticlassF1Score(classes, average="macro", **quick),
        "precision": metrics.MulticlassPrecision(classes, average="macro", **quick),
        "recall": metrics.MulticlassRecall(classes, average="macro", **quick),
    }
    groups = [["accuracy"], ["f1", "precision", "recall"]]
    if classes > top_k:
        name = f"top{top_k}_accuracy"
        chosen[name] = metrics.MulticlassAccuracy(classes, average="micro", top_k=top_k, **quick)
        groups.append([name])
    return SummedMetrics(torchmetrics.MetricCollection(chosen, compute_groups=groups).to(device))


def mean_average_precision(
    found: list[dict[str, Tensor]], true: list[dict[str, Tensor]]
) -> tuple[dict[str, float], dict[int, float]]:
    """map, map50 and map75 as COCO defines them, and the average precision of each class that truly occurs, by index.

    found, true: for each image `boxes`, `labels` and `scores` or `iscrowd`, on the CPU. Means over the classes that
    truly occur; 0 where there is none. What is found in a crowd counts neither way. Of an image, the 100 surest boxes
    count.
    """
    with _costly_packages_hidden():
        from torchmetrics.detection.mean_ap import MeanAveragePrecision
    # Evaluates in C++: on 80 images of 20 boxes in 0.10 s, pycocotools in 0.41 s, to the same numbers (2026-11).
    metric = MeanAveragePrecision(backend="faster_coco_eval", class_metrics=True, sync_on_compute=False)
    metric.warn_on_many_detections = False
    metric.update(found, true)
    values = metric.compute()
    absent = -1
    measures = {name: float(values[key]) for name, key in (("map", "map"), ("map50", "map_50"), ("map75", "map_75"))}
    classes, precisions = values["classes"].reshape(-1).tolist(), values["map_per_class"].reshape(-1).tolist()
    by_class = {label: value for label, value in zip(classes, precisions, strict=True) if value != absent}
    return {name: max(0.0, value) for name, value in measures.items()}, by_class


@contextmanager
def _costly_packages_hidden() -> Iterator[None]:
    """Have torchmetrics, while it is imported, find none of the costly packages but those that are loaded already.

    With torch loaded, importing it took 9.0 s of CPU with them (5.1 of these torch._dynamo, through torchvision) and
    0.3 s without (2 cores, 2026-11). The answer is not remembered: whatever part of torchmetrics is imported later,
    such as detection.mean_ap, finds them.
    """
    from lightning_utilities.core import imports as probes

    hidden = {name for name in COSTLY if name not in sys.modules}
    is_met, is_installed = probes.RequirementCache.__bool__, probes.package_available

    def is_met_openly(requirement: Any) -> bool:
        package = re.match(r"[\w.-]*", requirement.requirement or "")
        return not (package and package[0] in hidden) and is_met(requirement)

    def is_installed_openly(package: str) -> bool:
        return package not in hidden and is_installed(package)

    probes.RequirementCache.__bool__ = is_met_openly  # type: ignore[method-assign, assignment]
    probes.package_available = is_installed_openly  # type: ignore[assignment]
    try:
        yield
    finally:
        probes.RequirementCache.__bool__ = is_met  # type: ignore[method-assign]
        probes.package_available = is_installed
