"""A look at some masks of a source: which values they hold."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from trainyard.data.formats.class_list import Colour
from trainyard.data.formats.tree import Tree
from trainyard.data.importing.masks import mask_values
from trainyard.data.pictures import Unusable, open_picture
from trainyard.errors import DataError

SAMPLED = 128
"""Masks that are looked at: one of 480x360 takes 3 ms."""

LOSSY_MIDDLE = 0.1
"""The most that pixels far from black and white may make up of a JPEG mask, in which two classes were meant."""

PHOTOS_SAMPLED = 5
MOST_VALUES = 64
"""Values of a mask in which neighbours differ more often than not."""


@dataclass(frozen=True, kw_only=True)
class MaskSample:
    """masks: how many were read. coloured: those of them that have colours, and no values. values: pixels of each
    value, in the others. colours: pixels of each colour, in all."""

    masks: int
    coloured: int
    values: Counter[int]
    colours: Counter[Colour]

    @property
    def in_colours(self) -> bool:
        """Whether they are masks in colours: an all black one among them looks like one of values."""
        return self.coloured > 0 and (self.values.keys() <= {0} or self.coloured * 2 > self.masks)

    def explained(self, values: Sequence[int]) -> float:
        """The part of the pixels that have one of these values."""
        return sum(self.values[value] for value in set(values)) / max(1, self.values.total())

    def explained_by_colour(self, colours: Sequence[Colour]) -> float:
        return sum(self.colours[colour] for colour in set(colours)) / max(1, self.colours.total())


def sample_masks(tree: Tree, paths: Sequence[str]) -> MaskSample:
    """A seeded choice of masks; all of few. DataError if none of them can be read."""
    chosen = sorted(Random(0).sample(sorted(paths), min(SAMPLED, len(paths))))
    looks, reasons = [], []
    with warnings.catch_warnings():
        # What Pillow would say is said when the masks are imported.
        warnings.simplefilter("ignore")
        for path, content in tree.read_all(chosen):
            try:
                looks.append(_look(path, content))
            except (OSError, ValueError) as error:
                reasons.append(f"{tree.location / path}: {error}")
    if not looks:
        raise DataError(f"none of the masks can be read. {reasons[0]}.")
    return MaskSample(
        masks=len(looks),
        coloured=sum(values is None for values, _ in looks),
        values=sum((values for values, _ in looks if values is not None), Counter()),
        colours=sum((colours for _, colours in looks), Counter()),
    )


def are_photos(tree: Tree, paths: Sequence[str]) -> bool:
    """Whether most of a few of these images are no masks but photos. What can't be read is no photo."""
    chosen = Random(0).sample(sorted(paths), min(PHOTOS_SAMPLED, len(paths)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        photos = sum(_is_photo(path, content) for path, content in tree.read_all(chosen))
    return 2 * photos > len(chosen)


def _is_photo(path: str, content: bytes | OSError) -> bool:
    """Many values, and neighbours that differ: masks have either few values or, at soft edges only, many."""
    if isinstance(content, OSError):
        return False
    try:
        pixels = np.asarray(open_picture(content, "mask").convert("RGB")).astype(np.uint32)
    except (OSError, ValueError):
        return False
    try:
        usable_mask(path, content)
    except ValueError:
        return True
    codes = pixels @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    return len(np.unique(codes)) > MOST_VALUES and bool(np.mean(codes[:, 1:] == codes[:, :-1]) < 0.5)


def _look(path: str, content: bytes | OSError) -> tuple[Counter[int] | None, Counter[Colour]]:
    """The values of a mask, None if it has colours, and its colours."""
    if isinstance(content, OSError):
        raise content
    mask = usable_mask(path, content)
    try:
        values = _values(mask_values(mask))
    except Unusable as error:
        if error.kind != "mask in colours":
            raise
        values = None
    return values, _colours(mask)


def usable_mask(path: str, content: bytes) -> bytes | np.ndarray:
    """A mask as it is, but of a JPEG the nearer of 0 and 255 for each pixel: it blurs its edges.

    ValueError for a JPEG that means more than two classes.
    """
    if not path.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif")):
        return content
    grey = np.asarray(open_picture(content, "mask").convert("L"))
    middle = np.count_nonzero((grey > 48) & (grey < 208)) / grey.size
    if middle > LOSSY_MIDDLE:
        raise ValueError(
            "the mask is a JPEG, which changes values, and not one of black and white. Export masks as PNG"
        )
    return np.where(grey < 128, 0, 255).astype(np.uint8)


def _values(values: np.ndarray) -> Counter[int]:
    found, counts = np.unique(values, return_counts=True)
    return Counter(dict(zip(found.tolist(), counts.tolist(), strict=True)))


def _colours(mask: bytes | np.ndarray) -> Counter[Colour]:
    """Of every sixteenth pixel: enough to tell colours from numbers."""
    pixels = mask_values(mask, colours=True)[::4, ::4].astype(np.uint32)
    codes, counts = np.unique(pixels @ np.array([1 << 16, 1 << 8, 1], np.uint32), return_counts=True)
    return Counter({(c >> 16, c >> 8 & 255, c & 255): n for c, n in zip(codes.tolist(), counts.tolist(), strict=True)})
