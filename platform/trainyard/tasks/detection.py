"""Detection: an image has boxes, each of one class of K; the model finds boxes with a class and a score each."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainyard.data.augment import EpochDraws
from trainyard.errors import TrialError
from trainyard.losses.mix import Mix
from trainyard.models.detector import Detections, Losses, Targets
from trainyard.spec.loss import Loss
from trainyard.tasks.class_metrics import measured_classes, metrics_of, named_classes
from trainyard.tasks.metrics import mean_average_precision
from trainyard.tasks.task import Batch, Meter, Output

if TYPE_CHECKING:  # brings what draws along
    from trainyard.data.strips import Strip

FOUND = ("boxes", "labels", "scores")


class Detection:
    """Metrics: map, map50, map75 as COCO defines them, and ap/<class>. The model is a Detector."""

    def __init__(
        self, *, classes: Sequence[str], loss: Loss, device: torch.device, watched: Collection[str] = ()
    ) -> None:
        """watched: the metrics that the job names."""
        self.outputs = len(classes)
        self.loss = Mix(loss)
        self._named = named_classes("detection", watched)
        self._measured = measured_classes(classes, self._named)
        self.metrics = metrics_of("detection", self._measured)
        self._classes = tuple(classes)
        self._device = device

    def inputs(self, batch: Batch) -> tuple[Any, ...]:
        return batch["image"], Targets(batch["boxes"], batch["box_labels"], batch["box_crowd"])

    def check_output(self, output: object, batch: Batch) -> None:
        if not (isinstance(output, tuple | list) and len(output) == 2 and isinstance(output[0], Mapping)):
            raise TrialError(
                f"the model returned {_described(output)}; a detector needs a pair: losses by name, and for each image "
                "what was found in it."
            )
        losses, found = output
        self._check_losses(losses)
        images = len(batch["image"])
        if not isinstance(found, Sequence) or len(found) != images:
            raise TrialError(
                f"the model returned {_described(found)} for a batch of {images} images, not one for each."
            )
        for one in found:
            _check_found(one)

    def _check_losses(self, losses: Losses) -> None:
        missing = [name for name in self.loss.active_weights if name not in losses]
        if missing:
            raise TrialError(
                f"the model returned the losses {', '.join(losses) or 'none'}; the job's mix has {', '.join(missing)}."
            )
        for name, value in losses.items():
            if not isinstance(value, Tensor) or value.dim() or not value.is_floating_point():
                raise TrialError(f"the model's loss {name} is {_described(value)}, not a scalar tensor.")

    def augment(self, batch: Batch, draws: EpochDraws, step: int) -> Batch:
        return draws.apply(batch, step)

    def losses(self, output: Output, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self.loss.mixed({name: value.float() for name, value in output[0].items()})

    def pictures(self, output: Output, batch: Batch) -> "list[Strip]":
        from trainyard.tasks.pictures import detection_strips

        return detection_strips(output[1], batch, self._classes)

    def training_meter(self) -> Meter:
        return NoMeter()

    def evaluation_meter(self) -> Meter:
        return DetectionMeter(self._classes, self._device, measured=self._measured, named=self._named)


def _check_found(found: object) -> None:
    if not isinstance(found, Mapping) or not all(isinstance(found.get(name), Tensor) for name in FOUND):
        raise TrialError(f"the model found {_described(found)} in an image, not tensors {', '.join(FOUND)}.")
    shapes = [tuple(found[name].shape) for name in FOUND]
    count = len(found["labels"]) if found["labels"].dim() else 0
    if shapes != [(count, 4), (count,), (count,)]:
        given = ", ".join(f"{name} {shape}" for name, shape in zip(FOUND, shapes, strict=True))
        raise TrialError(f"the model found {given} in an image; D boxes need the shapes (D, 4), (D,) and (D,).")


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} ({value.dtype})"
    if isinstance(value, Mapping):
        return f"{type(value).__name__} with {', '.join(map(str, value)) or 'nothing'}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, Sequence) else type(value).__name__


class NoMeter(Meter):
    """No metric: while it trains, a detector need not find anything."""

    def reset(self) -> None:
        return None

    def update(self, output: Output, batch: Batch) -> None:
        return None

    def compute(self) -> dict[str, float]:
        return {}


class DetectionMeter(Meter):
    """All metrics of the task, by torchmetrics, of all that was found in any image on any worker.

    What is found and what is true are kept as they come, and their images are told apart by how many there are of each.
    A class without a true box has no ap/<class>; one that the job names has 0 then, as boxes may be gone from the
    resized images, or be crowds all of them.
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
        self._measured = frozenset(measured)
        self._named = tuple(named)
        self._device = device
        self.reset()

    def reset(self) -> None:
        empty = torch.zeros((0, 6), device=self._device)
        none = torch.zeros(0, dtype=torch.int64, device=self._device)
        self._found, self._found_counts = [empty], [none]
        self._true, self._true_counts = [empty], [none]

    def update(self, output: Output, batch: Batch) -> None:
        found: Detections = output[1]
        for one in found:
            self._found.append(torch.cat([one["boxes"], one["scores"][:, None], one["labels"][:, None]], dim=1).float())
        self._found_counts.append(self._counts([len(one["labels"]) for one in found]))
        boxes, labels, crowd = batch["boxes"], batch["box_labels"], batch["box_crowd"]
        self._true.append(torch.cat([boxes, labels[..., None], crowd[..., None]], dim=2).flatten(0, 1).float())
        self._true_counts.append(self._counts([boxes.shape[1]] * len(boxes)))

    def _counts(self, counts: list[int]) -> Tensor:
        return torch.tensor(counts, dtype=torch.int64, device=self._device)

    def rows(self) -> list[Tensor]:
        return [torch.cat(parts) for parts in (self._found, self._found_counts, self._true, self._true_counts)]

    def set_rows(self, rows: Sequence[Tensor]) -> None:
        (self._found, self._found_counts, self._true, self._true_counts) = ([part] for part in rows)

    def compute(self) -> dict[str, float]:
        found, found_counts, true, true_counts = (part.cpu() for part in self.rows())
        answers = [
            {"boxes": one[:, :4], "scores": one[:, 4], "labels": one[:, 5].long()}
            for one in found.split(found_counts.tolist())
        ]
        padded = true.split(true_counts.tolist())
        truths = [
            {"boxes": one[:, :4], "labels": one[:, 4].long(), "iscrowd": one[:, 5].long()}
            for one in (boxes[boxes[:, 4] >= 0] for boxes in padded)
        ]
        values, by_class = mean_average_precision(answers, truths)
        precisions = dict.fromkeys(self._named, 0.0)
        precisions |= {self._classes[label]: value for label, value in by_class.items()}
        return values | {f"ap/{name}": value for name, value in precisions.items() if name in self._measured}
