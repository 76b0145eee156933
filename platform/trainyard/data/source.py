"""What a source format gives to an import: a listing of what is there, and the reading of one entry of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from trainyard.data.manifest import VOID, Annotation

Left = Literal["kept", "clipped", "left out"]
"""What became of what had a problem."""


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """The boxes of an image: corners float64 (M, 4) as left, top, right, bottom in pixels, where (0, 0, W, H) is the
    whole image; labels int64 (M,), class indexes; crowd bool (M,): not trained on and not counted against a detection
    (VOC's difficult, COCO's iscrowd)."""

    corners: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row to be, before its files are read.

    name: unique in the source: the path of the image below it, or `file#index` in a file of many images.
    split: None where the source does not say. mask: path of the mask below the source.
    size: (height, width) that the annotation states for the image, if it does. source_bytes: of its files, about.
    """

    name: str
    split: str | None = None
    label: int | None = None
    mask: str | None = None
    boxes: Boxes | None = None
    size: tuple[int, int] | None = None
    source_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong with a source. file: path or entry's name. reason: what is wrong with it, in words.

    kind: the same in few words and without particulars, as reports count by it.
    """

    file: str
    reason: str
    outcome: Left = "left out"
    kind: str = "other"

    def __post_init__(self) -> None:
        # The names of files may hold bytes that are no text; reports are JSON.
        for name in ("file", "reason"):
            object.__setattr__(self, name, getattr(self, name).encode(errors="replace").decode())


@dataclass(frozen=True, kw_only=True)
class MaskCoding:
    """How the values of a mask mean classes.

    values: the value of each class, in the order of the classes; an integer for masks of one channel (palette images by
    their index), (red, green, blue) for colour masks. void: the values that belong to no class.
    """

    values: tuple[int | tuple[int, int, int], ...]
    void: tuple[int | tuple[int, int, int], ...] = (VOID,)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What is in a source, in an order that depends on nothing but the source.

    problems: found while listing. ignored: files of the source that are neither read nor expected to be.
    """

    annotation: Annotation
    classes: tuple[str, ...]
    entries: Sequence[Entry]
    mask_coding: MaskCoding | None = None
    problems: Sequence[Problem] = ()
    ignored: int = 0


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row of a source, read: image and mask either as the bytes of an image file or as pixels, uint8 (H, W) or
    (H, W, 3). Exactly one of label, mask and boxes is there."""

    name: str
    split: str
    image: bytes | np.ndarray
    label: int | None = None
    mask: bytes | np.ndarray | None = None
    boxes: Boxes | None = None


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a user may say about a source; None: found out by the format, or its default.

    classes: names in the order of the class indexes. class_values, class_colours: what a mask holds for each of them,
    in masks of one channel and in colour masks. void: what it holds where there is no class.
    images, masks: where they are, a folder or a pattern with `*`. subset: which of several sets that lie together.
    path_column, label_column, split_column: of a table, or of an archive of arrays.
    """

    classes: tuple[str, ...] | None = None
    class_values: tuple[int, ...] | None = None
    class_colours: tuple[tuple[int, int, int], ...] | None = None
    void: tuple[int | tuple[int, int, int], ...] | None = None
    images: str | None = None
    masks: str | None = None
    subset: str | None = None
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None

    def stated(self) -> frozenset[str]:
        """The names of the options that the user gave."""
        return frozenset(name for name, value in vars(self).items() if value is not None)


class Source(Protocol):
    """A source of one format. It is pickled and read in several processes at a time.

    A source that is missing, or isn't of its format, is a DataError that names the file and the way out, raised by
    `listing`. The same source gives the same listing on any machine.
    """

    def listing(self) -> Listing: ...

    def read(self, entry: Entry) -> Example:
        """The entry's image and annotation; entry.split is set. OSError or ValueError, with a reason in words, for
        what can't be read; nothing is decoded that need not be."""
        ...
