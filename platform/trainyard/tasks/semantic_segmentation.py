"""Semantic segmentation: each pixel has one class of K or none, the model answers with K logits for each, or one for
two classes."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainyard.data.augment import EpochDraws
from trainyard.data.manifest import VOID
from trainyard.losses.answer import IGNORED
from trainyard.losses.class_weights import ClassCounts
from trainyard.losses.mix import LossMix
from trainyard.spec.loss import Loss
from trainyard.tasks.class_metrics import measured_classes, metrics_of, named_classes
from trainyard.tasks.logits import require_logits
from trainyard.tasks.task import Batch, Meter

if TYPE_CHECKING:  # brings what draws along
    from trainyard.data.strips import Strip

SECOND = 1
"""Of two classes, the one that a single logit is of, and that a positive weight is for: the foreground."""


class SemanticSegmentation:
    """Metrics: miou, dice, pixel_accuracy, and iou and dice by class, over all pixels of a split that have a class.

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
        watched: Collection[str] = (),
    ) -> None:
        """class_counts: pixels of the training split. watched: the metrics that the job names."""
        self.outputs = 1 if loss.binary else len(classes)
        self.loss = LossMix(loss, class_counts, device, positive=SECOND if loss.binary else None)
        self._named = named_classes("semantic_segmentation", watched)
        self._measured = measured_classes(classes, self._named)
        self.metrics = metrics_of("semantic_segmentation", self._measured)
        self._classes = tuple(classes)
        self._device = device

    def inputs(self, batch: Batch) -> tuple[Any, ...]:
        return (batch["image"],)

    def check_output(self, output: object, batch: Batch) -> None:
        images, _, height, width = batch["image"].shape
        head = " by a single logit" if self.outputs == 1 else ""
        require_logits(
            output,
            (images, self.outputs, height, width),
            images=f"{images} images of {height}x{width}",
            wanted=f"semantic_segmentation with {len(self._classes)} classes{head}",
        )

    def augment(self, batch: Batch, draws: EpochDraws, step: int) -> Batch:
        return draws.apply(batch, step)

    def losses(self, output: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        mask = batch["mask"]
        return self.loss(output, mask.long().masked_fill_(mask == VOID, IGNORED))

    def pictures(self, output: Tensor, batch: Batch) -> "list[Strip]":
        from trainyard.tasks.pictures import segmentation_strips

        return segmentation_strips(output, batch, self._classes)

    def training_meter(self) -> Meter:
        return PixelAccuracyMeter(self._device)

    def evaluation_meter(self) -> Meter:
        return SegmentationMeter(self._classes, self._device, measured=self._measured, named=self._named)


def answered(output: Tensor) -> Tensor:
    """The likeliest class of each pixel, int64 (N, H, W). output: logits (N, K, H, W), or (N, 1, H, W) of the second of
    two classes."""
    return output.argmax(1) if output.shape[1] > 1 else (output[:, 0] > 0).long()


class PixelAccuracyMeter(Meter):
    """Only the share of labelled pixels that are right."""

    def __init__(self, device: torch.device) -> None:
        self._counts = torch.zeros(2, dtype=torch.int64, device=device)

    def reset(self) -> None:
        self._counts.zero_()

    def update(self, output: Tensor, batch: Batch) -> None:
        mask = batch["mask"]
        self._counts += torch.stack([(answered(output) == mask).sum(), (mask != VOID).sum()])

    def sums(self) -> list[Tensor]:
        return [self._counts]

    def compute(self) -> dict[str, float]:
        right, labelled = self._counts.tolist()
        return {"pixel_accuracy": right / max(1, labelled)}


class SegmentationMeter(Meter):
    """All metrics of the task, from the matrix of pixels by true and by answered class.

    They are torchmetrics' MulticlassJaccardIndex and MulticlassF1Score, macro-averaged, and MulticlassAccuracy of all
    pixels: miou and dice are means over the classes that occur in the truth or among the answers of the whole split.
    A class that is in neither has no iou/<class> and no dice/<class>; one that the job names has 0 then, as small
    objects may be gone from the resized masks.
    """

    def __init__(
        self,
        classes: Sequence[str],
        device: torch.device,
        *,
        measured: Collection[str] = (),
        named: Collection[str] = (),
    ) -> None:
        """measured: the classes that are measured by themselves. named: those of them that the job names."""
        self._classes = tuple(classes)
        self._measured = [index for index, name in enumerate(classes) if name in measured]
        self._named = frozenset(named)
        # The last entry counts what is void. Adding up integers is exact in any order, on any number of workers.
        self._pixels = torch.zeros(len(classes) ** 2 + 1, dtype=torch.int64, device=device)

    def reset(self) -> None:
        self._pixels.zero_()

    def update(self, output: Tensor, batch: Batch) -> None:
        mask = batch["mask"]
        pair = mask.long() * len(self._classes) + answered(output)
        pair = pair.masked_fill_(mask == VOID, len(self._pixels) - 1).flatten()
        # Not bincount, which looks for the largest number and so waits for a GPU.
        self._pixels.index_add_(0, pair, torch.ones_like(pair))

    def sums(self) -> list[Tensor]:
        return [self._pixels]

    def compute(self) -> dict[str, float]:
        classes = len(self._classes)
        pixels = self._pixels[:-1].reshape(classes, classes).cpu().double()
        hits, both = pixels.diagonal(), pixels.sum(0) + pixels.sum(1)
        present = both > 0
        iou, dice = hits / (both - hits), 2 * hits / both
        values = {
            "miou": _mean(iou[present]),
            "dice": _mean(dice[present]),
            "pixel_accuracy": float(hits.sum() / pixels.sum().clamp_min(1)),
        }
        for index in self._measured:
            name = self._classes[index]
            if present[index]:
                values |= {f"iou/{name}": float(iou[index]), f"dice/{name}": float(dice[index])}
            elif name in self._named:
                values |= {f"iou/{name}": 0.0, f"dice/{name}": 0.0}
        return values


def _mean(values: Tensor) -> float:
    """0 for a split without a labelled pixel."""
    return float(values.mean()) if len(values) else 0.0
