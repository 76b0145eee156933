"""Classification: an image has one class of K, the model answers with K logits."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainyard.data.augment import EpochDraws
from trainyard.errors import TrialError
from trainyard.losses.mix import LossMix
from trainyard.spec.loss import Loss
from trainyard.spec.tasks import TASKS
from trainyard.tasks.metrics import multiclass_metrics
from trainyard.tasks.task import Batch, Meter

TOP_K = 5


class Classification:
    """Metrics: accuracy, macro-averaged f1, precision and recall, and top5_accuracy with more than five classes."""

    def __init__(
        self, *, classes: Sequence[str], class_totals: Sequence[int], loss: Loss, device: torch.device
    ) -> None:
        """class_totals: rows of each class in the training split."""
        self.outputs = len(classes)
        self.loss = LossMix(loss, class_totals, device)
        known = frozenset(TASKS["classification"].metrics)
        self.metrics = known if self.outputs > TOP_K else known - {f"val/top{TOP_K}_accuracy"}
        self._device = device

    def inputs(self, batch: Batch) -> tuple[Any, ...]:
        return (batch["image"],)

    def check_output(self, output: object, batch: Batch) -> None:
        rows = len(batch["image"])
        expected = (rows, self.outputs)
        if not isinstance(output, Tensor):
            raise TrialError(
                f"the model returned {type(output).__name__} for a batch of {rows} images; classification needs a "
                f"tensor of logits of shape {expected}."
            )
        if tuple(output.shape) != expected or not output.is_floating_point():
            raise TrialError(
                f"the model returned shape {tuple(output.shape)} ({output.dtype}) for a batch of {rows} images; "
                f"classification with {self.outputs} classes needs logits of shape {expected}."
            )

    def augment(self, batch: Batch, draws: EpochDraws, step: int) -> Batch:
        return draws.apply(batch, step)

    def losses(self, output: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Of mixed samples (mixup, cutmix), those of both labels, by their shares."""
        if "label_share" not in batch:
            return self.loss(output, batch["label"])
        share = batch["label_share"]
        own, own_terms = self.loss(output, batch["label"], share)
        other, other_terms = self.loss(output, batch["label_other"], 1 - share)
        return own + other, {name: value + other_terms[name] for name, value in own_terms.items()}

    def training_meter(self) -> Meter:
        return AccuracyMeter(self._device)

    def evaluation_meter(self) -> Meter:
        return ClassificationMeter(self.outputs, self._device)


class AccuracyMeter(Meter):
    """Only the accuracy, in a hundredth of the time that torchmetrics takes for a small batch.

    Of a mixed sample (mixup, cutmix) its own label counts, even where the other has the larger share.
    """

    def __init__(self, device: torch.device) -> None:
        self._right = torch.zeros((), dtype=torch.int64, device=device)
        self._rows = torch.zeros_like(self._right)

    def reset(self) -> None:
        self._right.zero_()
        self._rows.zero_()

    def update(self, output: Tensor, batch: Batch) -> None:
        self._right += (output.argmax(1) == batch["label"]).sum()
        self._rows += len(output)

    def sums(self) -> list[Tensor]:
        return [self._right, self._rows]

    def compute(self) -> dict[str, float]:
        return {"accuracy": self._right.item() / self._rows.item()}


class ClassificationMeter(Meter):
    """All metrics of the task, by torchmetrics."""

    def __init__(self, classes: int, device: torch.device) -> None:
        self._metrics = multiclass_metrics(classes, top_k=TOP_K, device=device)

    def reset(self) -> None:
        self._metrics.reset()

    def update(self, output: Tensor, batch: Batch) -> None:
        self._metrics.update(output, batch["label"])

    def sums(self) -> list[Tensor]:
        return self._metrics.sums()

    def compute(self) -> dict[str, float]:
        return self._metrics.compute()
