"""Promptable segmentation: a model is given an image and boxes, and tells the pixels of the object in each box."""

from collections.abc import Sequence
from math import fsum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainyard.data.augment import JITTER, EpochDraws
from trainyard.losses.answer import IGNORED
from trainyard.losses.class_weights import ClassCounts
from trainyard.losses.mix import LossMix
from trainyard.spec.loss import Loss
from trainyard.spec.prompts import Prompts
from trainyard.spec.tasks import TASKS
from trainyard.tasks.logits import require_logits
from trainyard.tasks.prompted import Objects, moved_edges
from trainyard.tasks.task import Batch, Meter

if TYPE_CHECKING:  # brings what draws along
    from trainyard.data.strips import Strip

OBJECT = 1
"""Of the two classes of a pixel, that a single logit is of, and that a positive weight is for: the object's."""


def objects_against_rest(counts: ClassCounts) -> ClassCounts:
    """Pixels of the background, the first class, and of all others together: what each mask's object is and is not."""
    background, *others = counts.totals
    return ClassCounts((background, sum(others)))


class PromptableSegmentation:
    """Metrics: iou and dice, means over the objects of a split, and train/iou.

    The model is called with images, or with their embeddings where a batch has these, and float32 boxes (N, P, 4) in
    the images' pixels. It answers with a logit for each pixel and box, (N, P, H, W). Every image has the same number P
    of boxes: one of an object that isn't there is around the whole image, and what is answered to it counts nowhere.

    A batch's `mask` is a map of objects, see data/objects.py. The loss of an image is the mean over its objects, each
    against all else; 0 if it has none.
    """

    outputs = 1

    def __init__(self, *, prompts: Prompts, class_counts: ClassCounts, loss: Loss, device: torch.device) -> None:
        """class_counts: pixels of the training split that are background, and that are of objects."""
        self.prompts = prompts
        self.loss = LossMix(loss, class_counts, device, positive=OBJECT)
        self.metrics = frozenset(TASKS["promptable_segmentation"].metrics)
        self._device = device

    def inputs(self, batch: Batch) -> tuple[Any, ...]:
        boxes = batch["boxes"] if "boxes" in batch else self.objects(batch).boxes
        return batch["embedding"].float() if "embedding" in batch else batch["image"], boxes

    def objects(self, batch: Batch) -> Objects:
        """Those that the model is asked for."""
        return Objects.of(batch["mask"], self.prompts.asked)

    def check_output(self, output: object, batch: Batch) -> None:
        images, height, width = batch["mask"].shape
        boxes = self.prompts.asked
        require_logits(
            output,
            (images, boxes, height, width),
            images=f"{images} images of {height}x{width} with {boxes} {'boxes' if boxes > 1 else 'box'} each",
            wanted="promptable_segmentation",
        )

    def augment(self, batch: Batch, draws: EpochDraws, step: int) -> Batch:
        """Embedded images stay as they are: they were augmented before. Boxes are around what is left of objects."""
        augmented = dict(batch) if "embedding" in batch else draws.apply(batch, step)
        height, width = augmented["mask"].shape[1:]
        boxes = self.objects(augmented).boxes
        if self.prompts.jitter:
            jitter = self.prompts.jitter
            shifts = draws.uniform(JITTER, step, -jitter, jitter, *boxes.shape[1:])
            boxes = moved_edges(boxes, shifts, height=height, width=width)
        return {**augmented, "boxes": boxes}

    def losses(self, output: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        objects = self.objects(batch)
        target = objects.inside.long().masked_fill_(~objects.labelled, IGNORED)
        # The mean over N x P of what each object weighs is the mean over images of the means over their objects.
        counts = objects.there.sum(1, keepdim=True).clamp_min(1)
        weights = objects.there * (self.prompts.asked / counts)
        return self.loss(output.flatten(0, 1)[:, None], target.flatten(0, 1), weights.flatten())

    def pictures(self, output: Tensor, batch: Batch) -> "list[Strip]":
        from trainyard.tasks.prompted_pictures import prompted_strips

        return prompted_strips(output, batch, self.objects(batch))

    def live_values(self) -> dict[str, object]:
        """The settings that it works with, by their paths in the job."""
        return {f"prompts.{name}": value for name, value in self.prompts.model_dump().items()}

    def training_meter(self) -> Meter:
        return ObjectMeter(self.prompts.asked, self._device, measures=("iou",))

    def evaluation_meter(self) -> Meter:
        return ObjectMeter(self.prompts.asked, self._device, measures=("iou", "dice"))


class ObjectMeter(Meter):
    """Means over objects of their intersection over union and of their Dice coefficient, from logits above 0.

    They are torchmetrics' BinaryJaccardIndex and BinaryF1Score of each object's labelled pixels; 0 if there is none.
    What is kept of an object are whole numbers: any number of workers comes to the same means.
    """

    def __init__(self, asked: int, device: torch.device, *, measures: tuple[str, ...]) -> None:
        self._asked = asked
        self._measures = measures
        self._device = device
        self.reset()

    def reset(self) -> None:
        self._pixels = [torch.zeros((0, 2), dtype=torch.int32, device=self._device)]

    def update(self, output: Tensor, batch: Batch) -> None:
        objects = Objects.of(batch["mask"], self._asked)
        answered = (output > 0) & objects.labelled
        true, found = objects.inside.sum((2, 3)), answered.sum((2, 3))
        hits = (answered & objects.inside).sum((2, 3))
        # Both are 0 of an object that isn't there: to leave it out already here would wait for the device.
        pixels = torch.stack([hits, true + found], dim=2) * objects.there[..., None]
        self._pixels.append(pixels.flatten(0, 1).int())

    def rows(self) -> list[Tensor]:
        """Of each object its pixels that are found, and those that are its own plus those that are answered."""
        return [torch.cat(self._pixels)]

    def set_rows(self, rows: Sequence[Tensor]) -> None:
        self._pixels = list(rows)

    def compute(self) -> dict[str, float]:
        hits, both = torch.cat(self._pixels).cpu().double().unbind(1)
        there = both > 0
        hits, both = hits[there], both[there]
        values = {"iou": hits / (both - hits), "dice": 2 * hits / both}
        return {name: _mean(values[name]) for name in self._measures}


def _mean(values: Tensor) -> float:
    """0 of none. Exact but for one rounding, and so the same in any order."""
    return fsum(values.tolist()) / max(1, len(values))
