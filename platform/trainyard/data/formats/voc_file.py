"""One XML file with the boxes of an image, as PASCAL VOC defined it and labelImg, Roboflow and CVAT write it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import Element

from trainyard.data.formats.boxes import Corners, NamedBox
from trainyard.data.formats.xml_file import parse_xml


@dataclass(frozen=True, kw_only=True)
class VocFile:
    """filename: as the file says, maybe wrong. size: (height, width), if it is stated. faults: of single objects.

    by_voc: it says that it comes from PASCAL VOC itself.
    """

    filename: str
    size: tuple[int, int] | None
    boxes: Sequence[NamedBox]
    faults: Sequence[str] = field(default=())
    by_voc: bool

    @property
    def lowest(self) -> float:
        """The smallest left or top edge, infinite without boxes."""
        return min((min(box.corners[:2]) for box in self.boxes), default=math.inf)

    def from_zero(self) -> "VocFile":
        """VOC's first pixel has the number 1, and its right and bottom ones belong to the box."""
        boxes = [replace(box, corners=_from_zero(box.corners)) for box in self.boxes]
        return replace(self, boxes=boxes)


def parse_voc(content: bytes) -> VocFile:
    """ValueError, with the reason in words, for what isn't such a file."""
    root = parse_xml(content)
    if root.tag != "annotation":
        raise ValueError(f"it is no annotation: its outermost element is {root.tag}")
    boxes, faults = [], []
    for number, element in enumerate(root.findall("object"), 1):
        try:
            boxes.append(_box(element))
        except ValueError as error:
            faults.append(f"object {number}: {error}")
    return VocFile(
        filename=_text(root, "filename"),
        size=_size(root),
        boxes=boxes,
        faults=faults,
        by_voc=re.search(r"VOC ?20\d\d", f"{_text(root, 'source/database')} {_text(root, 'source/annotation')}")
        is not None,
    )


def _box(element: Element) -> NamedBox:
    name = _text(element, "name")
    if not name:
        raise ValueError("it has no name")
    box = element.find("bndbox")
    if box is None:
        raise ValueError(f"it ({name}) has no bndbox")
    left, top, right, bottom = (_number(box, name, corner) for corner in ("xmin", "ymin", "xmax", "ymax"))
    difficult = _text(element, "difficult").lower() in ("1", "true", "yes")
    return NamedBox(corners=(left, top, right, bottom), name=name, crowd=difficult)


def _number(box: Element, name: str, corner: str) -> float:
    text = _text(box, corner)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the {corner} of its box ({name}) must be a number, got {text or 'nothing'}")
    return number


def _size(root: Element) -> tuple[int, int] | None:
    try:
        height, width = (int(float(_text(root, f"size/{side}"))) for side in ("height", "width"))
    except (ValueError, OverflowError):
        return None
    # Some tools write zeros.
    return (height, width) if height > 0 and width > 0 else None


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _from_zero(corners: Corners) -> Corners:
    left, top, right, bottom = corners
    return left - 1, top - 1, right, bottom
