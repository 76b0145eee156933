"""From the values of a mask's pixels to class indexes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

from trainyard.data.manifest import VOID
from trainyard.data.pictures import Unusable, open_picture
from trainyard.data.source import MaskCoding

MOST_CLASSES = 254
"""An index is a byte, 255 is void, and one value stands for "unknown" while masks are read."""

_UNKNOWN = 254
_GREATEST = 65_535
"""Of values in masks of one channel."""


def mask_values(mask: bytes | np.ndarray, *, colours: bool = False) -> np.ndarray:
    """The values of a mask's pixels: integers (H, W), or with `colours` uint8 (H, W, 3).

    Palette images have their indexes as values, 1-bit images 0 and 255; transparency counts for nothing. A mask in
    colour whose three channels are the same everywhere is read as grey. Unusable for anything else.
    """
    if isinstance(mask, np.ndarray):
        return _array_values(mask, colours)
    picture = open_picture(mask, "mask")
    if colours:
        return np.asarray(picture.convert("RGB"))
    if picture.mode == "P" or picture.mode.startswith("I"):
        return np.asarray(picture)
    if picture.mode in ("1", "L", "LA", "La"):
        return np.asarray(picture.convert("L"))
    if picture.mode == "PA":
        return np.asarray(picture.getchannel("P"))
    if picture.mode == "F":
        raise Unusable("mask of floats", "the mask's values are floats, not whole numbers")
    return _grey(np.asarray(picture.convert("RGB")))


def _array_values(mask: np.ndarray, colours: bool) -> np.ndarray:
    if not np.issubdtype(mask.dtype, np.integer) and mask.dtype != np.bool_:
        raise Unusable("mask of floats", f"the mask's type is {mask.dtype}, not one of whole numbers")
    if mask.ndim not in (2, 3) or (mask.ndim == 3 and mask.shape[2] not in (1, 3)) or 0 in mask.shape:
        raise Unusable("mask of a wrong shape", f"the mask must be (height, width), got {mask.shape}")
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[:, :, 0]
    if colours:
        return np.broadcast_to(mask[:, :, None], (*mask.shape, 3)) if mask.ndim == 2 else mask
    return mask if mask.ndim == 2 else _grey(mask)


def _grey(colours: np.ndarray) -> np.ndarray:
    if not (colours == colours[:, :, :1]).all():
        raise Unusable("mask in colours", "the mask is in colours, but the classes are known by number, not by colour")
    return colours[:, :, 0]


@dataclass(frozen=True, kw_only=True)
class Indexes:
    """A mask's class indexes, uint8 (H, W), VOID where there is none.

    counts: pixels of each value of an index, (256,). unknown: the values that mean no class, and their pixels.
    file: the mask as it came, if it is a grey PNG of just these pixels.
    """

    pixels: np.ndarray
    counts: np.ndarray
    unknown: Mapping[int | tuple[int, ...], int] = field(default_factory=dict)
    file: bytes | None = None


@dataclass(frozen=True)
class MaskReader:
    """Reads masks of one coding. Its table is built once."""

    coding: MaskCoding

    @property
    def colours(self) -> bool:
        return any(isinstance(value, tuple) for value in self.coding.values)

    def read(self, mask: bytes | np.ndarray) -> Indexes:
        """Unknown values become VOID. Unusable for what is no mask of this kind."""
        values = mask_values(mask, colours=self.colours)
        pixels = self._table[_codes(values)]
        # Pillow's histogram takes a tenth of the time of numpy's bincount.
        counts = np.array(Image.fromarray(pixels).histogram())
        if not counts[_UNKNOWN]:
            file = mask if isinstance(mask, bytes) and _is_grey_png(mask) and np.array_equal(pixels, values) else None
            return Indexes(pixels=pixels, counts=counts, file=file)
        where = pixels == _UNKNOWN
        found, times = np.unique(values[where], axis=0, return_counts=True)
        names = [tuple(value) if self.colours else value for value in found.tolist()]
        pixels[where] = VOID
        counts[VOID] += counts[_UNKNOWN]
        counts[_UNKNOWN] = 0
        return Indexes(pixels=pixels, counts=counts, unknown=dict(zip(names, times.tolist(), strict=True)))

    @cached_property
    def _table(self) -> np.ndarray:
        """Code to index. For colours 16 MiB, which are looked up faster than a sorted list is searched."""
        table = np.full(1 << 24 if self.colours else _GREATEST + 2, _UNKNOWN, np.uint8)
        for value in self.coding.void:
            if isinstance(value, tuple) == self.colours:
                table[_code(value)] = VOID
        for index, value in enumerate(self.coding.values):
            table[_code(value)] = index
        table[-1] = table[-1] if self.colours else _UNKNOWN
        return table


def _is_grey_png(content: bytes) -> bool:
    """With 8 bits for each pixel, by its header (PNG specification, 11.2.1)."""
    return content.startswith(b"\x89PNG\r\n\x1a\n") and content[24:26] == b"\x08\x00"


def _codes(values: np.ndarray) -> np.ndarray:
    if values.ndim == 3:
        red, green, blue = np.moveaxis(values.astype(np.uint32), 2, 0)
        return red << 16 | green << 8 | blue
    if values.dtype == np.bool_:
        return values.view(np.uint8)
    if values.dtype.itemsize > 1:
        return np.where((values < 0) | (values > _GREATEST), _GREATEST + 1, values)
    return values if values.dtype == np.uint8 else np.where(values < 0, _GREATEST + 1, values.astype(np.int64))


def _code(value: int | tuple[int, int, int]) -> int:
    if isinstance(value, tuple):
        red, green, blue = value
        return red << 16 | green << 8 | blue
    return value if 0 <= value <= _GREATEST else _GREATEST + 1
