"""Which rows (or columns) of an image each position along a side of a feature map depends on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import gcd, lcm

Bounds = tuple[int, int]
"""The first and the last row that something depends on; rows beyond the image are counted like those in it."""

LONGEST_PERIOD = 1 << 16


class Untraceable(Exception):
    """What happens to positions here can't be followed."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The bounds at each index, of which there is no first and no last: they repeat, shifted along the image.

    A convolution after another has bounds that advance by one stride from index to index, which is a period of one.
    Enlarging makes neighbours differ: then there is a period of several indexes.

    bounds: at the indexes 0, 1, ... of the first period; None at one that depends on nothing, such as what a transposed
    convolution leaves out between its kernels. advance: rows from a period to the next.
    """

    bounds: tuple[Bounds | None, ...] = ((0, 0),)
    advance: int = 1

    def at(self, index: int) -> Bounds | None:
        turns, phase = divmod(index, len(self.bounds))
        bounds = self.bounds[phase]
        shift = turns * self.advance
        return None if bounds is None else (bounds[0] + shift, bounds[1] + shift)

    def seen(self, sources: Callable[[int], Iterable[int]], *, period: int = 1, shift: int = 1) -> "Windows":
        """The bounds of what has, at each of its indexes i, all of these at the indexes `sources(i)`.

        sources(i + period) must be sources(i), each moved by `shift`.
        """
        own = len(self.bounds)
        turns = own // gcd(own, shift)
        if period * turns > LONGEST_PERIOD:
            raise Untraceable
        return Windows(
            bounds=tuple(hull(map(self.at, sources(index))) for index in range(period * turns)),
            advance=self.advance * shift * turns // own,
        )

    def joined(self, other: "Windows") -> "Windows | None":
        """The bounds of what depends on both at each index; None where they drift apart from index to index."""
        own, others = len(self.bounds), len(other.bounds)
        if self.advance * others != other.advance * own:
            return None
        period = lcm(own, others)
        if period > LONGEST_PERIOD:
            raise Untraceable
        return Windows(
            bounds=tuple(hull([self.at(index), other.at(index)]) for index in range(period)),
            advance=self.advance * period // own,
        )


def hull(parts: Iterable[Bounds | None]) -> Bounds | None:
    """The smallest bounds that hold all parts."""
    there = [part for part in parts if part is not None]
    return (min(first for first, _ in there), max(last for _, last in there)) if there else None
