"""What a split takes when it is decoded, known from the manifest and the settings alone."""

from dataclasses import dataclass
from math import prod, sqrt
from typing import Literal, Self

from trainyard.data.manifest import Manifest
from trainyard.errors import DataError
from trainyard.spec.prompts import Objects, Prompts
from trainyard.spec.training import DataSettings

AUTO_STEP = 32
"""Sides that are chosen are multiples of it: what most nets halve an image by."""

AUTO_MOST = 512
"""The longer side that is chosen for images of several sizes is no longer than this."""


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """What the rows of a job look like.

    image_size: (height, width); None, for the channels too: as stored. objects: what a mask becomes a map of, see
    objects.py; None: it stays a map of classes.
    """

    image_size: tuple[int, int] | None = None
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    channels: Literal[1, 3] | None = None
    objects: Objects | None = None

    @classmethod
    def of(cls, data: DataSettings, manifest: Manifest, prompts: Prompts | None = None) -> Self:
        """What a job says of its images, `auto` resolved for a data set."""
        size = auto_size(manifest) if data.image_size == "auto" else data.image_size
        objects = None if prompts is None else prompts.per
        return cls(image_size=size, resize=data.resize, channels=data.channels, objects=objects)


@dataclass(frozen=True, kw_only=True)
class ColumnShape:
    """Of one row of a column. dtype: as numpy writes it."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * int(self.dtype[1:])


def auto_size(manifest: Manifest) -> tuple[int, int]:
    """(height, width) that suits a data set: the common size of its images, or one between those that they have.

    Between the smallest and the largest height lies their geometric mean, and so for the widths: the one is enlarged as
    much as the other is reduced. Both are reduced in proportion until neither is above AUTO_MOST, and rounded to
    multiples of AUTO_STEP, at least one.
    """
    image = manifest.image
    if image.size is not None:
        return image.size
    (low, narrow), (high, wide) = image.smallest, image.largest
    height, width = sqrt(low * high), sqrt(narrow * wide)
    scale = min(1.0, AUTO_MOST / max(height, width))
    return _stepped(height * scale), _stepped(width * scale)


def _stepped(side: float) -> int:
    return max(1, round(side / AUTO_STEP)) * AUTO_STEP


def image_shape(manifest: Manifest, settings: DecodeSettings, where: str = "the data set") -> tuple[int, int, int]:
    """(channels, height, width) of a decoded image. DataError if sizes differ and none is asked for."""
    size = settings.image_size or manifest.image.size
    if size is None:
        (low, left), (high, right) = manifest.image.smallest, manifest.image.largest
        raise DataError(
            f"the images of {where} differ in size (height {low} to {high}, width {left} to {right}): state "
            "data.image_size: [height, width] in the job, or auto."
        )
    return (settings.channels or manifest.image.channels, *size)


def column_shapes(
    manifest: Manifest, split: str, settings: DecodeSettings, where: str = "the data set"
) -> dict[str, ColumnShape]:
    """The columns of a decoded split: see columns.py. DataError as image_shape."""
    image = image_shape(manifest, settings, where)
    columns = {"image": ColumnShape(shape=image, dtype="u1")}
    match manifest.annotation:
        case "label":
            return columns | {"label": ColumnShape(shape=(), dtype="i8")}
        case "mask":
            return columns | {"mask": ColumnShape(shape=image[1:], dtype="u1")}
        case "boxes":
            facts = manifest.splits[split].boxes
            most = max(1, facts.most if facts else 0)
            return columns | {
                "boxes": ColumnShape(shape=(most, 4), dtype="f4"),
                "box_labels": ColumnShape(shape=(most,), dtype="i8"),
                "box_crowd": ColumnShape(shape=(most,), dtype="b1"),
            }


def decoded_row_bytes(manifest: Manifest, split: str, settings: DecodeSettings, where: str = "the data set") -> int:
    return sum(column.nbytes for column in column_shapes(manifest, split, settings, where).values())


def decoded_bytes(manifest: Manifest, split: str, settings: DecodeSettings, where: str = "the data set") -> int:
    """Of the whole split."""
    return manifest.splits[split].rows * decoded_row_bytes(manifest, split, settings, where)
