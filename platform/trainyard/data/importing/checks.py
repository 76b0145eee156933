"""The checks of an example: what of it can be used, and what is said of the rest."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from trainyard.data.dataset import annotated_digest
from trainyard.data.importing.boxes import box_faults, clipped
from trainyard.data.importing.masks import Indexes, MaskReader
from trainyard.data.manifest import VOID, Annotation
from trainyard.data.pictures import Picture, Unusable, encoded_array, read_picture
from trainyard.data.source import Boxes, Entry, Example, MaskCoding, Problem

OnError = Literal["fail", "skip", "report"]
"""What becomes of an import with problems: it fails; whatever has one is left out; what can be used is kept."""

MOST_NAMED = 5
"""Values of a mask that a problem names."""

RawShape = tuple[int, int, int]
"""(height, width, channels)."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the rows of an import must be.

    raw: of all images, where the source gives arrays, which are then stored as they are.
    """

    annotation: Annotation
    classes: tuple[str, ...]
    mask_coding: MaskCoding | None = None
    raw: RawShape | None = None
    on_error: OnError = "report"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row as it is stored. image: the column's bytes. classes: those that occur in it, ascending.

    mask: PNG of class indexes. mask_counts: pixels of each value in it, (256,).
    """

    name: str
    image: bytes
    image_digest: bytes
    digest: bytes
    classes: Sequence[int]
    label: int | None = None
    mask: bytes | None = None
    mask_counts: np.ndarray | None = None
    boxes: Boxes | None = None


@dataclass
class Checker:
    """Turns examples into rows and collects what is wrong with them."""

    rules: Rules
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        coding = self.rules.mask_coding or MaskCoding(values=tuple(range(len(self.rules.classes))))
        self._masks = MaskReader(coding)

    def row(self, entry: Entry, example: Example) -> tuple[Row, Picture] | None:
        """None if it is left out."""
        try:
            if self.rules.annotation == "label":
                return self._labelled(entry, example)
            return self._masked(entry, example) if self.rules.annotation == "mask" else self._boxed(entry, example)
        except Unusable as error:
            self.leave_out(entry.name, error.kind, str(error))
            return None

    def leave_out(self, name: str, kind: str, reason: str) -> None:
        self.problems.append(Problem(file=name, reason=reason, kind=kind))

    def _labelled(self, entry: Entry, example: Example) -> tuple[Row, Picture]:
        if example.label is None:
            raise Unusable("label missing", "it has no label")
        label = int(example.label)
        if not 0 <= label < len(self.rules.classes):
            raise Unusable("unknown class", f"label {label} is outside the {len(self.rules.classes)} classes")
        picture, image_digest = self._image(entry, example.image)
        row = Row(
            name=entry.name,
            image=picture.stored,
            image_digest=image_digest,
            digest=annotated_digest(image_digest, label=label),
            classes=(label,),
            label=label,
        )
        return row, picture

    def _masked(self, entry: Entry, example: Example) -> tuple[Row, Picture]:
        if example.mask is None:
            raise Unusable("mask missing", "it has no mask")
        indexes = self._masks.read(example.mask)
        size = (indexes.pixels.shape[0], indexes.pixels.shape[1])
        picture, image_digest = self._image(entry, example.image, size)
        if picture.size != size:
            raise Unusable("mask of another size", f"the mask is {_by(size)} pixels, the image {_by(picture.size)}")
        if indexes.unknown:
            self._note(entry.name, "mask value without class", _unknown_values(indexes))
        row = Row(
            name=entry.name,
            image=picture.stored,
            image_digest=image_digest,
            digest=annotated_digest(image_digest, mask=indexes.pixels),
            classes=np.flatnonzero(indexes.counts[:VOID]).tolist(),
            mask=indexes.file or encoded_array(indexes.pixels),
            mask_counts=indexes.counts,
        )
        return row, picture

    def _boxed(self, entry: Entry, example: Example) -> tuple[Row, Picture]:
        if example.boxes is None:
            raise Unusable("boxes missing", "nothing says what its boxes are")
        picture, image_digest = self._image(entry, example.image, entry.size)
        if entry.size not in (None, picture.size):
            reason = f"the annotation says {_by(entry.size)} pixels, the image has {_by(picture.size)}"
            self._note(entry.name, "image of another size", reason)
        boxes = self._usable_boxes(entry.name, example.boxes, picture.size)
        row = Row(
            name=entry.name,
            image=picture.stored,
            image_digest=image_digest,
            digest=annotated_digest(image_digest, boxes=boxes),
            classes=np.unique(boxes.labels).tolist(),
            boxes=boxes,
        )
        return row, picture

    def _image(
        self, entry: Entry, image: bytes | np.ndarray, expected: tuple[int, int] | None = None
    ) -> tuple[Picture, bytes]:
        """The image, and the SHA-256 of what is stored of it."""
        if isinstance(image, np.ndarray):
            picture = self._array(image)
        elif self.rules.raw:
            raise Unusable("image of another kind", "the image is a file, those before it are arrays")
        else:
            picture = read_picture(image, expected)
        if picture.frames > 1:
            self._note(entry.name, "several frames", f"the image has {picture.frames} frames: the first one is used")
        return picture, hashlib.sha256(picture.stored).digest()

    def _array(self, image: np.ndarray) -> Picture:
        shape = raw_shape(image)
        if self.rules.raw is None:
            return read_picture(encoded_array(image.reshape(shape[:2]) if shape[2] == 1 else image))
        if shape != self.rules.raw:
            raise Unusable("image of another shape", f"the image is {shape}, those before it {self.rules.raw}")
        pixels = image.tobytes()
        return Picture(stored=pixels, size=shape[:2], grey=shape[2] == 1, pixels=pixels)

    def _usable_boxes(self, name: str, boxes: Boxes, size: tuple[int, int]) -> Boxes:
        keep = np.ones(len(boxes.labels), np.bool_)
        for fault in box_faults(boxes, size, len(self.rules.classes)):
            outcome = "left out" if self.rules.on_error == "skip" else fault.outcome
            shown = f"box {fault.index + 1} ({self._described(boxes, fault.index)}) {fault.reason}"
            self.problems.append(Problem(file=name, reason=shown, kind=fault.kind, outcome=outcome))
            keep[fault.index] = outcome != "left out"
        inside = clipped(boxes, size)
        return Boxes(corners=inside.corners[keep], labels=inside.labels[keep], crowd=inside.crowd[keep])

    def _described(self, boxes: Boxes, index: int) -> str:
        label = int(boxes.labels[index])
        known = 0 <= label < len(self.rules.classes)
        corners = " ".join(f"{value:g}" for value in np.asarray(boxes.corners, np.float64).reshape(-1, 4)[index])
        return f"{self.rules.classes[label] if known else label}, {corners}"

    def _note(self, name: str, kind: str, reason: str) -> None:
        """Of what can be used nevertheless."""
        if self.rules.on_error == "skip":
            raise Unusable(kind, reason)
        self.problems.append(Problem(file=name, reason=reason, kind=kind, outcome="kept"))


def raw_shape(image: np.ndarray) -> RawShape:
    """Unusable unless it is uint8 (H, W), (H, W, 1) or (H, W, 3)."""
    if image.dtype != np.uint8:
        raise Unusable("16-bit or float", f"the image's type must be uint8, got {image.dtype}")
    shape = image.shape if image.ndim == 3 else (*image.shape, 1)
    if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        reason = f"the image must be (height, width) or (height, width, 3), got {image.shape}"
        raise Unusable("image of a wrong shape", reason)
    return shape[0], shape[1], shape[2]


def _unknown_values(indexes: Indexes) -> str:
    named = [f"{value} ({count:,} pixels)" for value, count in list(indexes.unknown.items())[:MOST_NAMED]]
    rest = len(indexes.unknown) - len(named)
    more = f" and {rest} more values" if rest else ""
    return f"the mask has values that mean no class: {', '.join(named)}{more}. They count as void"


def _by(size: tuple[int, int] | None) -> str:
    assert size is not None
    return f"{size[0]}x{size[1]}"
