"""TrivialAugment Wide and RandAugment: operations drawn for each sample, with torchvision's ranges.

Their moves are folded into the sample's one warp; the others are applied to all samples that drew them at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainyard.data.augment import maps
from trainyard.data.augment.drawing import Block
from trainyard.spec.augmentations import Augmentations

MAGNITUDES = 30
"""The largest."""

MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
FACTORS = ("brightness", "saturation", "contrast", "sharpness")
OPERATIONS = ("identity", *MOVES, *FACTORS, "posterize", "solarize", "autocontrast", "equalize")
"""All are drawn alike. torchvision calls saturation `Color`."""


@dataclass(frozen=True, kw_only=True)
class Strengths:
    """What the largest magnitude does: slope of a shear, shift in pixels, degrees of a rotation, change of a factor,
    bits that posterizing takes away."""

    slope: float
    right: float
    down: float
    degrees: float
    factor: float
    bits: int

    def of(self, operation: str, level: np.ndarray, sign: np.ndarray) -> np.ndarray:
        """level: from 0 to 1. sign: -1 or 1, for operations that go either way."""
        match operation:
            case "shear_x" | "shear_y":
                return sign * level * self.slope
            case "translate_x" | "translate_y":
                # Whole pixels as in torchvision, the products' last digits out of the way.
                largest = self.right if operation == "translate_x" else self.down
                return sign * np.trunc(np.round(level * largest, 4))
            case "rotate":
                return sign * level * self.degrees
            case "posterize":
                return np.rint(8 - level * self.bits)
            case "solarize":
                return 1 - level
        return 1 + sign * level * self.factor


WIDE = Strengths(slope=0.99, right=32, down=32, degrees=135, factor=0.99, bits=6)


def rand_augment_strengths(*, height: int, width: int) -> Strengths:
    return Strengths(slope=0.3, right=150 / 331 * width, down=150 / 331 * height, degrees=30, factor=0.9, bits=4)


@dataclass(frozen=True, kw_only=True)
class PolicyDraws:
    """One operation for each of N samples. operation: indexes of OPERATIONS. level: 0 to 1. sign: -1 or 1. All (N,)."""

    operation: np.ndarray
    level: np.ndarray
    sign: np.ndarray
    strengths: Strengths
    height: int
    width: int

    def drew(self, operation: str) -> np.ndarray:
        """bool (N,): the samples that it changes."""
        drew = self.operation == OPERATIONS.index(operation)
        # At the lowest level these would change some pixels all the same: 8 bits are coarser than a float, and
        # solarizing from 1 on turns white into black.
        return drew & (self.level > 0) if operation in ("posterize", "solarize") else drew

    def strength(self, operation: str) -> np.ndarray:
        """(N,): of the samples that drew it; of any use only there."""
        return self.strengths.of(operation, self.level, self.sign)

    def moves(self) -> Iterator[np.ndarray]:
        """Maps (N, 3, 3), see maps, for each kind of move that any sample drew."""
        for operation in MOVES:
            drew = self.drew(operation)
            if drew.any():
                yield self._move(operation, np.where(drew, self.strength(operation), 0))

    def _move(self, operation: str, strength: np.ndarray) -> np.ndarray:
        still = np.zeros_like(strength)
        match operation:
            # About the corner of the image, as in AutoAugment's own code and in torchvision.
            case "shear_x":
                return maps.sheared(strength, still)
            case "shear_y":
                return maps.sheared(still, strength)
            case "translate_x":
                return maps.shifted(strength, still)
            case "translate_y":
                return maps.shifted(still, strength)
        turned = maps.turned(-np.radians(strength))
        return maps.about_centre(turned, height=self.height, width=self.width)


def drawn_policies(settings: Augmentations, block: Block) -> list[PolicyDraws]:
    """In the order in which they happen: TrivialAugment's operation, then those of RandAugment."""
    draws: list[PolicyDraws] = []
    size = {"height": block.height, "width": block.width}
    if settings.trivial_augment and settings.trivial_augment.magnitude:
        stream = block.stream("trivial_augment")
        happens = stream.happens(settings.trivial_augment.p)
        operation = np.where(happens, stream.integers(0, len(OPERATIONS) - 1), 0)
        level = stream.integers(0, settings.trivial_augment.magnitude) / MAGNITUDES
        sign = stream.integers(0, 1) * 2 - 1
        draws.append(PolicyDraws(operation=operation, level=level, sign=sign, strengths=WIDE, **size))
    if settings.rand_augment and settings.rand_augment.magnitude:
        strengths = rand_augment_strengths(**size)
        stream = block.stream("rand_augment")
        happens = stream.happens(settings.rand_augment.p)
        level = np.full(block.samples, settings.rand_augment.magnitude / MAGNITUDES)
        for _ in range(settings.rand_augment.operations):
            operation = np.where(happens, stream.integers(0, len(OPERATIONS) - 1), 0)
            sign = stream.integers(0, 1) * 2 - 1
            draws.append(PolicyDraws(operation=operation, level=level, sign=sign, strengths=strengths, **size))
    return draws
