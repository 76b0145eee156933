"""Boxes moved with their images."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from trainyard.data.augment.drawing import Block, Drawn

NO_BOX = -1
"""The label where there is no box."""

COLUMNS = ("boxes", "box_labels", "box_crowd")

ROUNDING = 1e-4
"""Of a share of an area: a box that is all there may seem to lack so much."""


class BoxMoves:
    """The moves of a block's samples, for their boxes."""

    def __init__(self, forward: np.ndarray, min_visible: float, block: Block) -> None:
        """forward: (samples, 3, 3), see maps. min_visible: see moved_boxes. The block has slices of one part."""
        moved = (forward != np.eye(3)).any(axis=(1, 2))
        self._drawn = Drawn(moved, forward[:, :2], block)
        self._settings = {"height": block.height, "width": block.width, "min_visible": min_visible}

    def moved(self, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """The columns of boxes in a step's batch: new ones, or as they were."""
        columns = {name: batch[name] for name in COLUMNS}
        chosen = self._drawn.of(step, 0)
        if chosen is None:
            return columns
        places = {name: torch.empty_like(column).copy_(column) for name, column in columns.items()}
        boxes, labels, crowd = (chosen.of(column) for column in columns.values())
        changed = moved_boxes(boxes, labels, crowd, chosen.values, **self._settings)
        for place, values in zip(places.values(), changed, strict=True):
            chosen.put(place, values)
        return places


def moved_boxes(
    boxes: Tensor, labels: Tensor, crowd: Tensor, maps: Tensor, *, height: float, width: float, min_visible: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (n, M, 4) with their labels (n, M) and crowd flags (n, M), see columns, moved by maps (n, 2, 3), see maps.

    A box becomes the upright hull of its moved corners, cut off at the edges of the image. It is dropped (label NO_BOX,
    corners 0, no crowd) if nothing of that hull is left, or less than min_visible of its area. What is left stays at
    its place in the row.
    """
    x, y = boxes[..., 0::2], boxes[..., 1::2]
    sides = [_moved(x, y, maps[:, row, None, :], limit) for row, limit in enumerate((width, height))]
    (left, right, hull_width), (top, bottom, hull_height) = sides
    visible = (right - left) * (bottom - top)
    kept = (labels != NO_BOX) & (visible > 0) & (visible >= (min_visible - ROUNDING) * hull_width * hull_height)
    corners = torch.stack([left, top, right, bottom], dim=-1)
    return corners.masked_fill(~kept[..., None], 0), labels.masked_fill(~kept, NO_BOX), crowd & kept


def _moved(x: Tensor, y: Tensor, row: Tensor, limit: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of boxes whose corners have these x and y, (n, M, 2): the lower and the upper edge of the moved hull along one
    axis, cut off at 0 and the limit, and its extent before. row: of the map, (n, 1, 3)."""
    by_x, by_y = row[..., :1] * x, row[..., 1:2] * y
    low = by_x.amin(-1) + by_y.amin(-1) + row[..., 2]
    high = by_x.amax(-1) + by_y.amax(-1) + row[..., 2]
    return low.clamp(0, limit), high.clamp(0, limit), high - low
