"""Semantic segmentation: each pixel has one class of K or none, the model answers with K logits for each."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainyard.data.augment import EpochDraws
from trainyard.data.manifest import VOID
from trainyard.losses.mix import LossMix
from trainyard.losses.terms import IGNORED
from trainyard.spec.loss import Loss
from trainyard.spec.tasks import TASKS
from trainyard.tasks.logits import require_logits
from trainyard.tasks.task import Batch, Meter


class SemanticSegmentation:
    """Metrics: miou, dice, pixel_accuracy, and iou/<class>, over all pixels of a split that have a class."""

    def __init__(
        self, *, classes: Sequence[str], class_totals: Sequence[int], loss: Loss, device: torch.device
    ) -> None:
        """class_totals: pixels of each class in the training split."""
        self.outputs = len(classes)
        self.loss = LossMix(loss, class_totals, device)
        self.metrics = frozenset(TASKS["semantic_segmentation"].metrics)
        self._classes = tuple(classes)
        self._device = device

    def inputs(self, batch: Batch) -> tuple[Any, ...]:
        return (batch["image"],)

    def check_output(self, output: object, batch: Batch) -> None:
        images, _, height, width = batch["image"].shape
        require_logits(
            output,
            (images, self.outputs, height, width),
            images=f"{images} images of {height}x{width}",
            wanted=f"semantic_segmentation with {self.outputs} classes",
        )

    def augment(self, batch: Batch, draws: EpochDraws, step: int) -> Batch:
        return draws.apply(batch, step)

    def losses(self, output: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        mask = batch["mask"]
        return self.loss(output, mask.long().masked_fill_(mask == VOID, IGNORED))

    def training_meter(self) -> Meter:
        return PixelAccuracyMeter(self._device)

    def evaluation_meter(self) -> Meter:
        return SegmentationMeter(self._classes, self._device)


class PixelAccuracyMeter(Meter):
    """Only the share of labelled pixels that are right."""

    def __init__(self, device: torch.device) -> None:
        self._counts = torch.zeros(2, dtype=torch.int64, device=device)

    def reset(self) -> None:
        self._counts.zero_()

    def update(self, output: Tensor, batch: Batch) -> None:
        mask = batch["mask"]
        self._counts += torch.stack([(output.argmax(1) == mask).sum(), (mask != VOID).sum()])

    def sums(self) -> list[Tensor]:
        return [self._counts]

    def compute(self) -> dict[str, float]:
        right, labelled = self._counts.tolist()
        return {"pixel_accuracy": right / max(1, labelled)}


class SegmentationMeter(Meter):
    """All metrics of the task, from the matrix of pixels by true and by answered class.

    They are torchmetrics' MulticlassJaccardIndex and MulticlassF1Score, macro-averaged, and MulticlassAccuracy of all
    pixels: miou and dice are means over the classes that occur in the truth or among the answers of the whole split.
    A class that is in neither has no iou/<class>.
    """

    def __init__(self, classes: Sequence[str], device: torch.device) -> None:
        self._classes = tuple(classes)
        # The last entry counts what is void. Adding up integers is exact in any order, on any number of workers.
        self._pixels = torch.zeros(len(classes) ** 2 + 1, dtype=torch.int64, device=device)

    def reset(self) -> None:
        self._pixels.zero_()

    def update(self, output: Tensor, batch: Batch) -> None:
        mask = batch["mask"]
        pair = mask.long() * len(self._classes) + output.argmax(1)
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
        iou, dice = (hits / (both - hits))[present], (2 * hits / both)[present]
        names = [name for name, there in zip(self._classes, present.tolist(), strict=True) if there]
        return {
            "miou": _mean(iou),
            "dice": _mean(dice),
            "pixel_accuracy": float(hits.sum() / pixels.sum().clamp_min(1)),
            **{f"iou/{name}": value for name, value in zip(names, iou.tolist(), strict=True)},
        }


def _mean(values: Tensor) -> float:
    """0 for a split without a labelled pixel."""
    return float(values.mean()) if len(values) else 0.0
