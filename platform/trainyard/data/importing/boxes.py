"""The checks of boxes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainyard.data.source import Boxes, Left

OVERHANG = 0.1
"""Pixels by which a box may stick out of its image unreported: annotations are rounded to one digit."""


@dataclass(frozen=True, kw_only=True)
class BoxFault:
    """What is wrong with the box at `index`. reason: in words, to follow `box 3 (...)`."""

    index: int
    kind: str
    reason: str
    outcome: Left = "left out"


def clipped(boxes: Boxes, size: tuple[int, int]) -> Boxes:
    """The parts inside an image of (height, width)."""
    height, width = size
    corners = np.asarray(boxes.corners, np.float64).reshape(-1, 4)
    return Boxes(
        corners=np.clip(corners, 0, [width, height, width, height]),
        labels=np.asarray(boxes.labels, np.int64),
        crowd=np.asarray(boxes.crowd, np.bool_),
    )


def box_faults(boxes: Boxes, size: tuple[int, int], classes: int) -> Iterator[BoxFault]:
    """At most one for each box: the worst."""
    corners = np.asarray(boxes.corners, np.float64).reshape(-1, 4)
    inside = clipped(boxes, size).corners
    labels = np.asarray(boxes.labels)
    finite = np.asarray(np.isfinite(corners).all(axis=1))
    known = (labels >= 0) & (labels < classes)
    sticks_out = np.abs(corners - inside).max(axis=1, initial=0) > OVERHANG
    sound = finite & _has_area(corners) & known & _has_area(inside) & ~sticks_out
    shown = f"the image of {size[0]}x{size[1]} pixels"
    for index in np.flatnonzero(~sound).tolist():
        if not finite[index]:
            yield BoxFault(index=index, kind="box without numbers", reason="has corners that are no numbers")
        elif not _has_area(corners[index : index + 1])[0]:
            yield BoxFault(index=index, kind="box without area", reason="has no area")
        elif not known[index]:
            yield BoxFault(index=index, kind="unknown class", reason=f"is of a class outside the {classes} classes")
        elif not _has_area(inside[index : index + 1])[0]:
            yield BoxFault(index=index, kind="box outside the image", reason=f"is outside {shown}")
        else:
            yield BoxFault(index=index, kind="box partly outside", reason=f"reaches out of {shown}", outcome="clipped")


def _has_area(corners: np.ndarray) -> np.ndarray:
    # As float32, in which they are stored: a box thinner than that can tell has no area there.
    stored = corners.astype(np.float32)
    return (stored[:, 2] > stored[:, 0]) & (stored[:, 3] > stored[:, 1])
