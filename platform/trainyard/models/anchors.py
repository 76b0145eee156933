"""Boxes of a two-stage detector: where it starts from, which of them are objects, and samples of both kinds."""

from collections.abc import Sequence
from math import floor
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

OBJECT, BACKGROUND, NEITHER = 1, 0, -1


def anchor_shapes(sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """float32 (A, 4) about (0, 0): of each ratio (height / width) the boxes of each size, the root of their area."""
    root = torch.tensor(ratios, dtype=torch.float32).sqrt()[:, None]
    size = torch.tensor(sizes, dtype=torch.float32)[None]
    width, height = (size / root).flatten(), (size * root).flatten()
    return torch.stack([-width, -height, width, height], dim=1) / 2


def anchor_grid(shapes: Tensor, rows: int, columns: int, stride: int) -> Tensor:
    """(rows x columns x A, 4): the shapes about the centre of each cell, row by row; in pixels, stride to a cell."""
    down = (torch.arange(rows, device=shapes.device) + 0.5) * stride
    across = (torch.arange(columns, device=shapes.device) + 0.5) * stride
    y, x = torch.meshgrid(down, across, indexing="ij")
    centers = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (centers + shapes).reshape(-1, 4)


class Truth(NamedTuple):
    """What is in one image. boxes: (M, 4), labels: int64 (M,), to be learnt. crowd: (C, 4), boxes in which nothing is
    learnt to be background."""

    boxes: Tensor
    labels: Tensor
    crowd: Tensor


class Matches(NamedTuple):
    """Of B boxes. box: int64 (B,), the true one that each overlaps most; 0 where there is none at all. kind: int64
    (B,), OBJECT, BACKGROUND or NEITHER."""

    box: Tensor
    kind: Tensor


def matched(boxes: Tensor, truth: Truth, *, positive: float, negative: float, each_has_one: bool) -> Matches:
    """Which boxes (B, 4) are objects: those that overlap a true box with an IoU of `positive` or more.

    Background overlaps every true one with less than `negative`, and less of it than that is within a crowd.
    each_has_one: the boxes that overlap a true one most are objects, too, however little it is (Ren et al. 2015,
    section 3.1.2). One that no box overlaps at all has none.
    """
    box = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    kind = torch.full_like(box, BACKGROUND)
    if len(truth.boxes) and len(boxes):
        overlap = box_iou(truth.boxes, boxes)
        best, box = overlap.max(0)
        kind[best >= negative] = NEITHER
        kind[best >= positive] = OBJECT
        if each_has_one:
            most = overlap.amax(1, keepdim=True)
            kind[((overlap == most) & (most > 0)).any(0)] = OBJECT
    if len(truth.crowd):
        kind[(kind == BACKGROUND) & (_within(boxes, truth.crowd) >= negative)] = NEITHER
    return Matches(box, kind)


def _within(boxes: Tensor, regions: Tensor) -> Tensor:
    """(B,): the largest share of each box that is in one of the regions (C, 4)."""
    corner = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    opposite = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    common = (opposite - corner).clamp_min(0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp_min(torch.finfo(boxes.dtype).tiny)
    return common.amax(1) / area


class Sampler:
    """Draws boxes to learn from: `count` of an image, at most `share` of them objects, the rest background.

    To train, from torch's own random state. To evaluate, always alike for an image: its loss doesn't depend on which
    images are evaluated with it, nor on the worker.
    """

    def __init__(self, count: int, share: float) -> None:
        self.count = count
        self.share = share

    def __call__(self, kind: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        """Indexes of objects and of background, of boxes of these kinds (see Matches)."""
        generator = None if training else torch.Generator().manual_seed(0)
        most = floor(self.count * self.share + 1e-6)  # 100 x 0.29 is 28.999999999999996
        objects = _shuffled((kind == OBJECT).nonzero()[:, 0], generator)[:most]
        background = _shuffled((kind == BACKGROUND).nonzero()[:, 0], generator)[: self.count - len(objects)]
        return objects, background


def _shuffled(index: Tensor, generator: torch.Generator | None) -> Tensor:
    device = index.device if generator is None else generator.device
    return index[torch.randperm(len(index), generator=generator, device=device).to(index.device)]
