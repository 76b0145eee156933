"""Classification: an image has one class of K, the model answers with K logits, or one for two classes."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainyard.data.augment import EpochDraws
from trainyard.losses.class_weights import ClassCounts
from trainyard.losses.mix import LossMix
from trainyard.spec.decision import Decision
from trainyard.spec.loss import Loss
from trainyard.tasks.class_metrics import measured_classes, metrics_of, named_classes
from trainyard.tasks.classification_meter import TOP_K, ClassificationMeter
from trainyard.tasks.logits import require_logits
from trainyard.tasks.task import Batch, Meter

if TYPE_CHECKING:  # brings what draws along
    from trainyard.data.strips import Strip


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
        named = named_classes("classification", watched) | ({decision.positive} if decision else set())
        self._measured = measured_classes(classes, named)
        too_few = {f"val/top{TOP_K}_accuracy"} if len(classes) <= TOP_K else set()
        self.metrics = metrics_of("classification", self._measured) - too_few

    def meter(self) -> Meter:
        """Of all metrics, in evaluation."""
        return ClassificationMeter(
            self._classes, self._device, measured=self._measured, decision=self._decision, single=self._single
        )


class Classification:
    """Metrics: accuracy, macro-averaged f1, precision and recall, top5_accuracy with more than five classes; and
    precision, recall, f1 and average_precision by class.

    The loss decides what the model answers with: with binary_cross_entropy one logit, that of the second class, else
    one of each class.
    """

    def __init__(
        self,
        *,
        classes: Sequence[str],
        class_counts: ClassCounts,
        loss: Loss,
        device: torch.device,
        decision: Decision | None = None,
        watched: Collection[str] = (),
    ) -> None:
        """class_counts: rows of the training split. watched: the metrics that the job names."""
        self.outputs = 1 if loss.binary else len(classes)
        self._classes = tuple(classes)
        positive = None if decision is None else self._classes.index(decision.positive)
        self.loss = LossMix(loss, class_counts, device, positive=positive)
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

    def pictures(self, output: Tensor, batch: Batch) -> "list[Strip]":
        """None: a class needs no picture."""
        return []

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
