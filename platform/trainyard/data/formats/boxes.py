"""Boxes on their way from annotation files, gathered for each image."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainyard.data.source import Boxes, Problem

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class NamedBox:
    """corners: left, top, right, bottom in pixels, where (0, 0, W, H) is the whole image. name: its class."""

    corners: Corners
    name: str
    crowd: bool = False


def indexed_boxes(found: Iterable[NamedBox], indexes: Mapping[str, int]) -> Boxes:
    """Those of a known class."""
    boxes = [box for box in found if box.name in indexes]
    return Boxes(
        corners=np.array([box.corners for box in boxes], np.float64).reshape(-1, 4),
        labels=np.array([indexes[box.name] for box in boxes], np.int64),
        crowd=np.array([box.crowd for box in boxes], np.bool_),
    )


def unknown_classes(names: Iterable[str], classes: Sequence[str], where: str) -> list[Problem]:
    """One problem for each class that the user didn't name. names: of all boxes."""
    known = set(classes)
    counts = Counter(name for name in names if name not in known)
    problems = []
    for name, count in sorted(counts.items()):
        boxes = "1 box is" if count == 1 else f"{count:,} boxes are"
        reason = f"{boxes} of the class {name}, none of the classes given"
        problems.append(Problem(file=where, reason=reason, kind="unknown class"))
    return problems
