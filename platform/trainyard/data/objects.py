"""The objects of an image, told apart from the classes of its pixels."""

import numpy as np

from trainyard.data.manifest import VOID
from trainyard.spec.prompts import MOST_OBJECTS, Objects

BACKGROUND = 0
"""The class, and the number in a map of objects, of what belongs to no object."""

_ALL_NEIGHBOURS = np.ones((3, 3), bool)
"""Pixels that touch at a corner are connected."""


def object_map(mask: np.ndarray, per: Objects) -> np.ndarray:
    """uint8 (H, W): BACKGROUND, the number of a pixel's object, or VOID; from the class of each pixel, uint8 (H, W).

    per: `mask`: all classes but the first, BACKGROUND, are one object; `component`: each 8-connected part of one of
    them is an object. Numbers begin with 1, the larger objects first, of equals the one that begins further up or left.
    Of more than MOST_OBJECTS the smallest become background.
    """
    if per == "mask":
        return np.where((mask != BACKGROUND) & (mask != VOID), 1, mask).astype(np.uint8)
    parts = _components(mask)
    areas = np.bincount(parts.reshape(-1))[1:]
    begins = np.full(len(areas), parts.size)
    np.minimum.at(begins, parts.reshape(-1)[parts.reshape(-1) > 0] - 1, np.flatnonzero(parts))
    order = np.lexsort((begins, -areas))
    numbers = np.zeros(len(areas) + 1, np.uint8)
    kept = order[:MOST_OBJECTS]
    numbers[kept + 1] = np.arange(1, len(kept) + 1)
    return np.where(mask == VOID, np.uint8(VOID), numbers[parts])


def _components(mask: np.ndarray) -> np.ndarray:
    """int (H, W): 0 where there is no object, else a number of its own for each connected part of a class."""
    from scipy.ndimage import label  # only here: no other job needs it

    parts, count = np.zeros(mask.shape, np.int64), 0
    for one in np.unique(mask):
        if one not in (BACKGROUND, VOID):
            own, found = label(mask == one, _ALL_NEIGHBOURS)
            parts[own > 0] = own[own > 0] + count
            count += found
    return parts
