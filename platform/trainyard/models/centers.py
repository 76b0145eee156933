"""Boxes as points: the maps of a detector that finds centres, how they are learnt and how they are read.

Zhou, Wang, Krähenbühl: Objects as Points, 2019. A cell of a map stands for `stride` pixels of the image each way.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainyard.models.detector import Targets

ALPHA, BETA = 2, 4
"""Exponents of the focal loss, as in the paper."""

OVERLAP = 0.7
"""Around a centre the heatmap stays high as far as a box of the same size there overlaps the true one with this IoU."""

MOST = 100
"""Boxes that are read from the maps of an image; COCO's measures count no more."""


class Maps(NamedTuple):
    """float32 (N, *, h, w). heatmap: logits of a centre of each class. size: width and height of the box around a
    centre, in cells. offset: how far right of and below its cell's corner a centre is, in cells."""

    heatmap: Tensor
    size: Tensor
    offset: Tensor


class _Centers(NamedTuple):
    """The centres of boxes (N, M). cell: int64 (N, M, 2), column and row. within: (N, M, 2), the rest. size: (N, M, 2).
    All in cells; whatever, but within the map, where there is no box to learn from."""

    cell: Tensor
    within: Tensor
    size: Tensor


def center_losses(maps: Maps, targets: Targets, *, stride: int) -> dict[str, Tensor]:
    """The paper's losses: `heatmap` (equation 1), `offset` (2) and `size` (3), each the mean over images of the sum
    over an image divided by its boxes."""
    height, width = maps.heatmap.shape[2:]
    centers = _centers(targets, stride=stride, height=height, width=width)
    learnt = targets.learnt
    boxes = learnt.sum(1).clamp_min(1)
    index = centers.cell[..., 1] * width + centers.cell[..., 0]
    truth = heatmaps(centers.cell, centers.size, targets.labels, learnt, like=maps.heatmap)
    background = ~_covered(targets, stride=stride, height=height, width=width)
    return {
        "heatmap": (_focal(maps.heatmap, truth, background) / boxes).mean(),
        "size": (_distance(maps.size, centers.size, index, learnt) / boxes).mean(),
        "offset": (_distance(maps.offset, centers.within, index, learnt) / boxes).mean(),
    }


def _centers(targets: Targets, *, stride: int, height: int, width: int) -> _Centers:
    boxes = targets.boxes / stride
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    cell = torch.stack(
        [centers[..., 0].floor().clamp(0, width - 1), centers[..., 1].floor().clamp(0, height - 1)], dim=-1
    )
    return _Centers(cell=cell.long(), within=centers - cell, size=boxes[..., 2:] - boxes[..., :2])


def heatmaps(cell: Tensor, size: Tensor, labels: Tensor, learnt: Tensor, *, like: Tensor) -> Tensor:
    """(N, K, h, w) as `like`: for each class the largest of the Gaussians about its centres, 1 in the centres' cells.

    cell, size: (N, M, 2), of M boxes in each image. labels, learnt: (N, M).
    """
    height, width = like.shape[2:]
    spread = 2 * _spread(size).square()[..., None]
    across = torch.exp(-(torch.arange(width, device=like.device) - cell[..., :1]).square() / spread)
    down = torch.exp(-(torch.arange(height, device=like.device) - cell[..., 1:]).square() / spread) * learnt[..., None]
    truth = torch.zeros_like(like)
    images = torch.arange(len(like), device=like.device)
    for box, own in enumerate(labels.clamp_min(0).unbind(1)):  # one by one: N x M x h x w numbers could be too many
        bump = down[:, box, :, None] * across[:, box, None, :]
        truth[images, own] = torch.maximum(truth[images, own], bump)
    return truth


def _spread(size: Tensor) -> Tensor:
    """Standard deviation (N, M) of the Gaussian about a centre: a third of a radius, which is half a cell more than r.

    A box shifted by r both ways overlaps itself with IoU = OVERLAP: (w - r)(h - r) = 2 w h OVERLAP / (1 + OVERLAP).
    """
    area, sides = size.prod(-1), size.sum(-1)
    rest = area * (1 - OVERLAP) / (1 + OVERLAP)
    radius = (sides - (sides.square() - 4 * rest).clamp_min(0).sqrt()) / 2
    return (2 * radius + 1) / 6


def _covered(targets: Targets, *, stride: int, height: int, width: int) -> Tensor:
    """bool (N, 1, h, w): the cells in boxes of crowds, where nothing is learnt to be background."""
    left, top, right, bottom = (side[..., None] for side in (targets.boxes / stride).unbind(-1))
    columns = torch.arange(width, device=left.device)
    rows = torch.arange(height, device=left.device)
    crowd = targets.ignored[..., None]
    across = (columns + 1 > left) & (columns < right) & crowd
    down = (rows + 1 > top) & (rows < bottom)
    return (torch.einsum("nmh,nmw->nhw", down.float(), across.float()) > 0)[:, None]


def _focal(logits: Tensor, truth: Tensor, background: Tensor) -> Tensor:
    """(N,): equation 1, summed over each image."""
    center = truth == 1
    probability = logits.sigmoid()
    hit = -((1 - probability) ** ALPHA) * functional.logsigmoid(logits)
    miss = -((1 - truth) ** BETA) * probability**ALPHA * functional.logsigmoid(-logits) * background
    return torch.where(center, hit, miss).sum(dim=(1, 2, 3))


def _distance(answer: Tensor, truth: Tensor, index: Tensor, learnt: Tensor) -> Tensor:
    """(N,): L1 between a map (N, 2, h, w) at the centres and truth (N, M, 2), summed over each image's boxes."""
    there = answer.flatten(2).gather(2, index[:, None].expand(-1, 2, -1))
    return ((there - truth.transpose(1, 2)).abs().sum(1) * learnt).sum(1)


def read_boxes(maps: Maps, *, stride: int, height: int, width: int) -> list[dict[str, Tensor]]:
    """The boxes about the highest peaks of each image's heatmap, see Detections.

    A peak is a cell that no neighbour exceeds. height, width: of the images, beyond which no box reaches.
    """
    scores = maps.heatmap.sigmoid()
    peaks = scores * (scores == functional.max_pool2d(scores, 3, stride=1, padding=1))
    cells = peaks.shape[2] * peaks.shape[3]
    score, place = peaks.flatten(1).topk(min(MOST, peaks[0].numel()))
    label, index = place // cells, place % cells
    corner = torch.stack([index % peaks.shape[3], index // peaks.shape[3]], dim=-1)
    center = corner + _at(maps.offset, index)
    half = _at(maps.size, index).clamp_min(0) / 2
    boxes = torch.cat([center - half, center + half], dim=-1) * stride
    boxes = boxes.clamp_min(0).minimum(boxes.new_tensor([width, height, width, height]))
    return [
        {"boxes": own, "labels": labels, "scores": sure} for own, labels, sure in zip(boxes, label, score, strict=True)
    ]


def _at(values: Tensor, index: Tensor) -> Tensor:
    """(N, D, 2): a map (N, 2, h, w) at some cells (N, D)."""
    return values.flatten(2).gather(2, index[:, None].expand(-1, 2, -1)).transpose(1, 2)
