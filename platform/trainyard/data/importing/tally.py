"""Counting rows while they are written."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from PIL import Image

from trainyard.data.importing.checks import Row, Rules
from trainyard.data.importing.facts import IMAGE_DIGEST_BYTES, LEVELS, ShardFacts
from trainyard.data.manifest import VOID
from trainyard.data.pictures import Picture
from trainyard.data.source import Problem

SMALL_IMAGE = 128 * 128
COUNTED_AT_ONCE = 1 << 20
"""Pixels, bytes."""


class PixelCounts:
    """How many pixels have each value, in images of one mode.

    Small images are counted many at a time: the histogram of one takes 25 µs, a fifth of what its decoding takes.
    """

    def __init__(self, mode: Literal["L", "RGB"]) -> None:
        self._mode = mode
        self._counts = np.zeros(LEVELS * len(mode), np.int64)
        self._waiting: list[bytes] = []
        self._bytes = 0

    def add(self, pixels: Image.Image | bytes) -> None:
        if isinstance(pixels, Image.Image):
            if pixels.width * pixels.height > SMALL_IMAGE:
                self._counts += pixels.histogram()
                return
            pixels = pixels.tobytes()
        self._waiting.append(pixels)
        self._bytes += len(pixels)
        if self._bytes > COUNTED_AT_ONCE:
            self._count()

    def counts(self) -> list[int]:
        """256 for each channel."""
        self._count()
        return list(self._counts.tolist())

    def _count(self) -> None:
        if self._waiting:
            pixels = b"".join(self._waiting)
            row = Image.frombytes(self._mode, (len(pixels) // len(self._mode), 1), pixels)
            self._counts += row.histogram()
            self._waiting, self._bytes = [], 0


class Tally:
    """Counts rows as they are stored."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._grey = PixelCounts("L")
        self._colour = PixelCounts("RGB")
        self._images = np.zeros(len(rules.classes), np.int64)
        self._totals = np.zeros(len(rules.classes), np.int64)
        self._void = 0
        self._most_boxes = 0
        self._positions: list[int] = []
        self._digests: list[bytes] = []
        self._image_digests: list[bytes] = []
        self._box_sizes: list[np.ndarray] = []
        self._sizes: set[tuple[int, int]] = set()

    def add(self, row: Row, picture: Picture, position: int) -> None:
        self._positions.append(position)
        self._digests.append(row.digest)
        self._image_digests.append(row.image_digest[:IMAGE_DIGEST_BYTES])
        self._sizes.add(picture.size)
        (self._grey if picture.grey else self._colour).add(picture.pixels)
        if row.label is not None:
            self._images[row.label] += 1
            self._totals[row.label] += 1
            return
        self._images[list(row.classes)] += 1
        if row.mask_counts is not None:
            self._totals += row.mask_counts[: len(self._totals)]
            self._void += int(row.mask_counts[VOID])
        if row.boxes is not None:
            self._totals += np.bincount(row.boxes.labels, minlength=len(self._totals))
            self._most_boxes = max(self._most_boxes, len(row.boxes.labels))
            self._box_sizes.append((row.boxes.corners[:, 2:] - row.boxes.corners[:, :2]).astype("<f4"))

    def facts(
        self, *, file: str, split: str, size: int, excluded: Mapping[int, str], problems: Sequence[Problem]
    ) -> ShardFacts:
        heights, widths = [height for height, _ in self._sizes], [width for _, width in self._sizes]
        return ShardFacts(
            file=file,
            split=split,
            rows=len(self._digests),
            size=size,
            excluded=dict(excluded),
            positions=np.array(self._positions, "<i4").tobytes(),
            digests=b"".join(self._digests),
            image_digests=b"".join(self._image_digests),
            smallest=(min(heights), min(widths)) if heights else None,
            largest=(max(heights), max(widths)) if heights else None,
            grey=self._grey.counts(),
            colour=self._colour.counts(),
            class_images=self._images.tolist(),
            class_totals=self._totals.tolist(),
            void_pixels=self._void,
            most_boxes=self._most_boxes,
            box_sizes=b"".join(sizes.tobytes() for sizes in self._box_sizes),
            problems=list(problems),
        )
