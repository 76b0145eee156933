"""What `auto` means for a data set, as far as its manifest tells. Imports nothing heavy."""

from collections.abc import Iterable
from math import sqrt
from typing import Any

from trainyard.data.manifest import BoxFacts, Manifest
from trainyard.data.shapes import DecodeSettings
from trainyard.errors import DataError
from trainyard.spec.job import Job
from trainyard.spec.models.detectors import FasterRcnn

SAME = 0.8
"""Anchors that overlap with this IoU or more, in size or in ratio, are one. Off by both an object still overlaps its
anchor with about 0.65, which is near the 0.7 from which on an anchor is an object."""

_SIZE_STEP = sqrt(1 / SAME)
"""Squares about one centre overlap with IoU = SAME if one side is so many times the other."""

_RATIO_STEP = ((1 + SAME) / (2 * SAME)) ** 2
"""Boxes of one area about one centre overlap with IoU = SAME if one ratio is so many times the other."""


def resolved(job: Job, manifest: Manifest) -> Job:
    """The job with values in the place of `auto`, by the training split.

    DataError where the data set can't tell; the same job where nothing is `auto`.
    """
    values = _anchors(job, manifest)
    return job.with_values(values) if values else job


def _anchors(job: Job, manifest: Manifest) -> dict[str, Any]:
    """Sizes and ratios of anchors from the quantiles of the boxes, resized as their images are."""
    if not isinstance(job.model, FasterRcnn):
        return {}
    asked = [name for name in ("sizes", "ratios") if getattr(job.model.anchors, name) == "auto"]
    if not asked:
        return {}
    split = job.data.train_split
    boxes = manifest.splits[split].boxes
    if boxes is None:
        raise DataError(
            f"model.anchors.{asked[0]} is auto, and split {split} of {job.data.path} has no boxes to tell by. State "
            "model.anchors: {sizes: [32, 64, 128], ratios: [0.5, 1, 2]}, in pixels of the resized images."
        )
    down, across = _factors(job, manifest)
    found = {"sizes": anchor_sizes(boxes, down, across), "ratios": anchor_ratios(boxes, down, across)}
    return {f"model.anchors.{name}": found[name] for name in asked}


def anchor_sizes(boxes: BoxFacts, down: float = 1.0, across: float = 1.0) -> list[float]:
    """The roots of width x height, both at one quantile, without those that say nearly the same.

    down, across: factors by which heights and widths are resized.
    """
    sides = (sqrt(width * height) for width, height in zip(boxes.widths, boxes.heights, strict=True))
    return _apart((side * sqrt(down * across) for side in sides), _SIZE_STEP, digits=1)


def anchor_ratios(boxes: BoxFacts, down: float = 1.0, across: float = 1.0) -> list[float]:
    """Height over width at the quantiles 0.05, 0.5 and 0.95, without those that say nearly the same."""
    return _apart((boxes.ratios[at] * down / across for at in (0, 2, 4)), _RATIO_STEP, digits=2)


def _apart(values: Iterable[float], step: float, *, digits: int) -> list[float]:
    """The smallest, and each that is at least `step` times the one kept before; rounded, but never to 0."""
    kept: list[float] = []
    for value in sorted(values):
        if not kept or value >= kept[-1] * step:
            kept.append(value)
    return [max(round(value, digits), 10**-digits) for value in kept]


def _factors(job: Job, manifest: Manifest) -> tuple[float, float]:
    """By which heights and widths are resized: those of an image between the smallest and the largest, if they differ.

    A manifest knows the smallest and the largest side only; between them is their geometric mean.
    """
    size = DecodeSettings.of(job.data, manifest).image_size
    if size is None:
        return 1.0, 1.0
    small, large = manifest.image.smallest, manifest.image.largest
    down, across = (wanted / sqrt(least * most) for wanted, least, most in zip(size, small, large, strict=True))
    match job.data.resize:
        case "pad":
            return (min(down, across),) * 2
        case "crop":
            return (max(down, across),) * 2
        case "stretch":
            return down, across
