"""Classification: an image has one class of K, the model answers with K logits, or one for two classes."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from trainyard.data.augment import EpochDraws
from trainyard.losses.mix import LossMix
from trainyard.spec.decision import Decision
from trainyard.spec.loss import Loss
from trainyard.spec.tasks import TASKS, class_of
from trainyard.tasks.classification_meter import TOP_K, ClassificationMeter
from trainyard.tasks.logits import require_logits
from trainyard.tasks.task import Batch, Meter

MOST_CLASSES = 20
"""Up to so many classes, each is measured by itself; of more, those that the job names: a hundred classes would be four
hundred metrics in every epoch."""


class Measuring:
    """What is measured of a classifier of K classes, whatever it learns by."""

    def __init__(
        self,
        classes: Sequence[str],
        device: torch.device,
        *,
        decision: Decision | None = None,
        watched: Collection[str] = (),
        single: bool = False,
    ) -> None:
        """watched: the metrics that the job names. single: whether it answers with one logit for two classes."""
        self._classes = tuple(classes)
        self._device = device
        self._decision = decision
        self._single = single
        named = {class_of("classification", metric) for metric in watched}
        if decision:
            named.add(decision.positive)
        self._measured = [name for name in classes if len(classes) <= MOST_CLASSES or name in named]
        facts = TASKS["classification"]
        of_classes = {f"{measure}/{name}" for measure in facts.class_metrics for name in self._measured}
        too_few = {f"val/top{TOP_K}_accuracy"} if len(classes) <= TOP_K else set()
        self.metrics = frozenset({*facts.metrics, *of_classes} - too_few)

    def meter(self) -> Meter:
        """Of all metrics, in evaluation."""
        return ClassificationMeter(
            self._classes, self._device, measured=self._measured, decision=self._decision, single=self._single
        )


class Classification:
    """Metrics: accuracy, macro-averaged f1, precision and recall, top5_accuracy with more than five classes; and
    precision, recall, f1 and average_precision by class.

    The loss decides what the model answers with: binary_cross_entropy asks for one logit, that of the second class,
    other terms for one of each class.
    """

    def __init__(
        self,
        *,
        classes: Sequence[str],
        class_totals: Sequence[int],
        loss: Loss,
        device: torch.device,
        decision: Decision | None = None,
        watched: Collection[str] = (),
    ) -> None:
        """class_totals: rows of each class in the training split. watched: the metrics that the job names."""
        self.outputs = 1 if loss.binary else len(classes)
        self._classes = tuple(classes)
        positive = None if decision is None else self._classes.index(decision.positive)
        self.loss = LossMix(loss, class_totals, device, positive=positive)
        self._measuring = Measuring(classes, device, decision=decision, watched=watched, single=loss.binary)
        self.metrics = self._measuring.metrics
        self._device = device

    def inputs(self, batch: Batch) -> tuple[Any, ...]:
        return (batch["image"],)

    def check_output(self, output: object, batch: Batch) -> None:
        rows, head = len(batch["image"]), " by a single logit" if self.outputs == 1 else ""
        wanted = f"classification with {len(self._classes)} classes{head}"
        require_logits(output, (rows, self.outputs), images=f"{rows} images", wanted=wanted)

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
        return self._measuring.meter()


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
        answers = output.argmax(1) if output.shape[1] > 1 else output[:, 0] > 0
        self._right += (answers == batch["label"]).sum()
        self._rows += len(output)

    def sums(self) -> list[Tensor]:
        return [self._right, self._rows]

    def compute(self) -> dict[str, float]:
        return {"accuracy": self._right.item() / self._rows.item()}
