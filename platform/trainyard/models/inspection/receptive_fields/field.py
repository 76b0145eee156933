"""The receptive field of a tensor's elements: what part of the image they depend on (Araujo, Norris, Sim 2019)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from trainyard.models.inspection.receptive_fields.reach import Factor, Reach, positions, union
from trainyard.models.inspection.receptive_fields.windows import Untraceable, Windows, hull

MOST_PARTS = 8


@dataclass(frozen=True, kw_only=True)
class Extent:
    """A receptive field along one side of the image, in pixels.

    size: of the largest of all positions, from the first to the last pixel that a position depends on, padding counted
    like the image; None if it can't be told. Where there are no positions any more, as after a dense layer, it is what
    lies in the image. whole: all of the image's side. jump: from one position to the next (its stride in the image);
    None where there are no positions, or none in a row.
    """

    size: int | None
    whole: bool = False
    jump: Fraction | None = None


@dataclass(frozen=True, kw_only=True)
class ReceptiveField:
    """Of each element of a tensor. rows, columns: what it depends on is the smallest interval around several parts.

    Nothing is left of both where an operation isn't known, or its positions can't be followed.
    """

    rows: tuple[Reach, ...] = ()
    columns: tuple[Reach, ...] = ()

    @classmethod
    def of_images(cls, shape: Sequence[int]) -> Self:
        """Images (N, C, H, W), each pixel of which depends on itself."""
        rows, columns = (
            Reach(
                dims=tuple((_pixels(size) if dim == side else Factor(size),) for dim, size in enumerate(shape)),
                windows=Windows(),
            )
            for side in (2, 3)
        )
        return cls(rows=(rows,), columns=(columns,))

    @property
    def is_known(self) -> bool:
        return bool(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows[0].shape

    def map(self, change: Callable[[Reach], Reach]) -> "ReceptiveField":
        return ReceptiveField(rows=tuple(map(change, self.rows)), columns=tuple(map(change, self.columns)))

    def extents(self, height: int, width: int) -> tuple[Extent, Extent]:
        """In an image of that size."""
        return _extent(self.rows, height), _extent(self.columns, width)


UNKNOWN = ReceptiveField()


def joined(fields: Sequence[ReceptiveField]) -> ReceptiveField:
    """Of what depends, element by element, on several tensors. Untraceable if one of them isn't known."""
    if not all(field.is_known for field in fields):
        raise Untraceable
    rows = union([part for field in fields for part in field.rows])
    columns = union([part for field in fields for part in field.columns])
    if max(len(rows), len(columns)) > MOST_PARTS:
        raise Untraceable
    return ReceptiveField(rows=rows, columns=columns)


def _pixels(size: int) -> Factor:
    return Factor(size, step=1, spacing=Fraction(1))


def _extent(parts: Sequence[Reach], length: int) -> Extent:
    factors = [factor for part in parts for factor in part.factors]
    jump = min((abs(factor.spacing) for factor in factors if factor.spacing), default=None)
    if not parts or any(factor.scattered for factor in factors):
        return Extent(size=None, jump=jump)
    try:
        bounds = [there for own in positions(parts) if (there := hull(own)) is not None]
    except Untraceable:
        return Extent(size=None, jump=jump)
    if not bounds:
        return Extent(size=0, jump=jump)
    if any(factor.step for factor in factors):
        return Extent(size=max(last - first + 1 for first, last in bounds), jump=jump)
    (first, last), *_ = bounds
    inside = max(0, min(last, length - 1) - max(first, 0) + 1)
    return Extent(size=inside, whole=inside == length, jump=jump)
