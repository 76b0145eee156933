"""How far each element of a tensor reaches into an image along one of its two axes, followed through views, windows
and sums.

Every dimension of a tensor is written as a product of factors, as in `reshape`: an index into the dimension is one
index for each of its factors. An element's index into the windows is a sum, over all factors, of the factor's index
times its step. So slices, strides, patches cut out (unfold) and reshapes change only steps, and whatever sums over a
factor widens the windows by it: convolutions, poolings, matrix products and attention are all of this kind.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import gcd, prod

from trainyard.models.inspection.receptive_fields.windows import Bounds, Untraceable, Windows, hull

MOST_POSITIONS = 200_000
"""Positions that are compared one by one."""


@dataclass(frozen=True)
class Factor:
    """A part of a dimension.

    step: how much an index into the factor moves the index into the windows; 0 for channels and the like. spacing:
    pixels of the image from one index to the next. scattered: where in it something is isn't known; then the windows
    are those of all of it together.
    """

    size: int
    step: int = 0
    spacing: Fraction = Fraction(0)
    scattered: bool = False

    def cut(self, inner: int) -> tuple["Factor", "Factor"]:
        """Two factors that are the same, the second of so many elements. Untraceable if it doesn't divide."""
        if self.size % inner:
            raise Untraceable
        outer = replace(self, size=self.size // inner, step=self.step * inner, spacing=self.spacing * inner)
        return outer, replace(self, size=inner)


Dim = tuple[Factor, ...]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Of every element of a tensor. offset: the index into the windows of the element whose indexes are all 0."""

    dims: tuple[Dim, ...]
    windows: Windows
    offset: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(prod(factor.size for factor in dim) for dim in self.dims)

    @property
    def factors(self) -> list[Factor]:
        return [factor for dim in self.dims for factor in dim]

    def with_dim(self, dim: int, *factors: Factor) -> "Reach":
        dims = list(self.dims)
        dims[dim] = _tidy(factors)
        return replace(self, dims=tuple(dims))

    # Views.

    def permuted(self, order: Sequence[int]) -> "Reach":
        return replace(self, dims=tuple(self.dims[dim] for dim in order))

    def inserted(self, dim: int) -> "Reach":
        """With a dimension of one element."""
        return replace(self, dims=(*self.dims[:dim], (Factor(1),), *self.dims[dim:]))

    def dropped(self, dims: Iterable[int]) -> "Reach":
        """Without dimensions of one element."""
        gone = set(dims)
        return replace(self, dims=tuple(own for dim, own in enumerate(self.dims) if dim not in gone))

    def expanded(self, shape: Sequence[int]) -> "Reach":
        """Repeated as broadcasting does, with new dimensions in front."""
        missing = len(shape) - len(self.dims)
        dims = ((Factor(1),),) * missing + self.dims
        repeated = (own if size == length else (Factor(size),) for own, size, length in _sized(dims, shape))
        return replace(self, dims=tuple(repeated))

    def reshaped(self, shape: Sequence[int]) -> "Reach":
        if tuple(shape) == self.shape:
            return self
        left = list(_tidy(self.factors))
        dims = [_taken(left, size) for size in reversed(shape)]
        return replace(self, dims=tuple(reversed(dims)))

    def sliced(self, dim: int, start: int, step: int, size: int) -> "Reach":
        """Every `step`-th index from `start` on, `size` of them."""
        if (start, step, size) == (0, 1, self.shape[dim]):
            return self
        if any(factor.scattered for factor in self.dims[dim]):
            raise Untraceable
        own = self.merged(dim)
        (factor,) = own.dims[dim]
        taken = Factor(size, factor.step * step, factor.spacing * step)
        return replace(own.with_dim(dim, taken), offset=own.offset + factor.step * start)

    def flipped(self, dims: Iterable[int]) -> "Reach":
        own = self
        for dim in dims:
            end = sum(factor.step * (factor.size - 1) for factor in own.dims[dim])
            turned = (replace(factor, step=-factor.step) for factor in own.dims[dim])
            own = replace(own.with_dim(dim, *turned), offset=own.offset + end)
        return own

    def scattered(self, dim: int, size: int) -> "Reach":
        """With the elements of a dimension, and perhaps others that depend on nothing, in an order that isn't known."""
        return self.summed([dim]).with_dim(dim, Factor(size, scattered=True))

    def merged(self, dim: int) -> "Reach":
        """With one factor in a dimension."""
        factors = self.dims[dim]
        if len(factors) < 2:
            return self
        if any(factor.scattered for factor in factors):
            raise Untraceable
        if not any(factor.step for factor in factors):
            return self.with_dim(dim, Factor(prod(factor.size for factor in factors)))
        self._require_alone(dim)
        outer, *rest = factors
        inner = prod(factor.size for factor in rest)

        def source(index: int) -> Iterator[int]:
            at = self.offset
            for factor in reversed(rest):
                index, own = divmod(index, factor.size)
                at += factor.step * own
            yield at + outer.step * index

        windows = self.windows.seen(source, period=inner, shift=outer.step)
        one = Factor(outer.size * inner, 1, outer.spacing / inner)
        return replace(self.with_dim(dim, one), windows=windows, offset=0)

    # Windows and sums.

    def summed(self, dims: Iterable[int], size: int = 1) -> "Reach":
        """Each element depends on all along some dimensions, which have `size` elements then."""
        own = self
        for dim in dims:
            windows = own.windows
            for factor in own.dims[dim]:
                steps = [factor.step * index for index in range(factor.size)] if factor.step else [0]
                windows = windows.seen(lambda index, steps=steps: (index + step for step in steps))  # type: ignore[misc]
            own = replace(own.with_dim(dim, Factor(size)), windows=windows)
        return own

    def slid(self, dim: int, *, kernel: int, stride: int, padding: int, dilation: int, size: int) -> "Reach":
        """What a window sees that slides along a dimension, from `padding` before its beginning on, `size` times."""
        cut = self.cut(dim, kernel=kernel, stride=stride, padding=padding, dilation=dilation, size=size)
        return cut.summed([dim]).dropped([dim])

    def cut(self, dim: int, *, kernel: int, stride: int, padding: int, dilation: int, size: int) -> "Reach":
        """Such windows, cut out: a dimension of `kernel` elements, then one of `size` windows."""
        if (kernel, stride, padding, size) == (1, 1, 0, self.shape[dim]):
            return self.inserted(dim)
        own = self.merged(dim)
        (factor,) = own.dims[dim]
        if factor.scattered:
            raise Untraceable
        inner = Factor(kernel, factor.step * dilation, factor.spacing * dilation)
        outer = Factor(size, factor.step * stride, factor.spacing * stride)
        own = replace(own.with_dim(dim, outer), offset=own.offset - factor.step * padding)
        return own.inserted(dim).with_dim(dim, inner)

    def resampled(
        self, dim: int, size: int, sources: Callable[[int], Iterable[int]], *, period: int, shift: int
    ) -> "Reach":
        """A dimension made anew: its index i sees the indexes `sources(i)`, which advance by `shift` in a `period`."""
        own = self.merged(dim)
        (factor,) = own.dims[dim]
        if factor.scattered:
            raise Untraceable
        if not factor.step:
            return own.with_dim(dim, Factor(size))
        own._require_alone(dim)
        windows = own.windows.seen(
            lambda index: (own.offset + factor.step * source for source in sources(index)),
            period=period,
            shift=factor.step * shift,
        )
        new = Factor(size, 1, factor.spacing * Fraction(shift, period))
        return replace(own.with_dim(dim, new), windows=windows, offset=0)

    def _require_alone(self, dim: int) -> None:
        """Only this dimension moves the index, so that it can be counted anew."""
        if any(factor.step for other, own in enumerate(self.dims) if other != dim for factor in own):
            raise Untraceable

    def at(self, steps: Iterable[int]) -> Bounds | None:
        """At an element, given how far each of its indexes moves the index into the windows."""
        return self.windows.at(self.offset + sum(steps))


def union(parts: Sequence[Reach]) -> tuple[Reach, ...]:
    """What reaches as far as all parts, broadcast to one shape: as one where that is possible, else as several."""
    shape = _broadcast([part.shape for part in parts])
    left: list[Reach] = []
    for part in (part.expanded(shape) for part in parts):
        for place, other in enumerate(left):
            both = _joined(other, part)
            if both is not None:
                left[place] = both
                break
        else:
            left.append(part)
    return tuple(left)


def positions(parts: Sequence[Reach]) -> Iterator[tuple[Bounds | None, ...]]:
    """The bounds of parts of one shape, at each position that differs for any. Untraceable if there are too many."""
    aligned = _aligned(parts)
    columns = [
        column for column in zip(*(part.factors for part in aligned), strict=True) if any(f.step for f in column)
    ]
    if prod(column[0].size for column in columns) > MOST_POSITIONS:
        raise Untraceable
    for indexes in product(*(range(column[0].size) for column in columns)):
        yield tuple(
            part.at(column[own].step * index for column, index in zip(columns, indexes, strict=True))
            for own, part in enumerate(aligned)
        )


def _joined(one: Reach, other: Reach) -> Reach | None:
    """Both as one; None where that can't be said."""
    try:
        one, other = _aligned([one, other])
        return _together(_lowest(one), _lowest(other)) or _larger(one, other)
    except Untraceable:
        return None


def _together(one: Reach, other: Reach) -> Reach | None:
    """Two whose windows move alike."""
    pairs = list(zip(one.factors, other.factors, strict=True))
    if any(mine.step != theirs.step or mine.scattered or theirs.scattered for mine, theirs in pairs):
        return None
    start = other.offset - one.offset
    windows = one.windows.joined(other.windows.seen(lambda index: [index + start]))
    return None if windows is None else replace(_spaced(one, other), windows=windows)


def _larger(one: Reach, other: Reach) -> Reach | None:
    """The one whose windows hold those of the other, everywhere."""
    for inner, outer in ((one, other), (other, one)):
        if not any(factor.scattered for factor in outer.factors) and all(
            hull([mine, theirs]) == theirs for mine, theirs in positions([inner, outer])
        ):
            return _spaced(outer, inner)
    return None


def _spaced(one: Reach, other: Reach) -> Reach:
    """The first, with the other's spacing where it has lost its own: all see the same after a sum over positions."""
    dims = (
        tuple(replace(mine, spacing=mine.spacing or theirs.spacing) for mine, theirs in zip(own, others, strict=True))
        for own, others in zip(one.dims, other.dims, strict=True)
    )
    return replace(one, dims=tuple(dims))


def _lowest(reach: Reach) -> Reach:
    """The same with the smallest steps: whether a stride is in the steps or in the windows makes no difference."""
    common = gcd(*(factor.step for factor in reach.factors))
    if common == 1:
        return reach
    windows = reach.windows.seen(lambda index: [reach.offset + common * index], shift=common)
    dims = tuple(tuple(replace(factor, step=factor.step // max(1, common)) for factor in dim) for dim in reach.dims)
    return replace(reach, dims=dims, windows=windows, offset=0)


def _aligned(parts: Sequence[Reach]) -> list[Reach]:
    """The parts, all their dimensions cut into factors of the same sizes."""
    dims = [_cut_alike([part.dims[dim] for part in parts]) for dim in range(len(parts[0].dims))]
    return [replace(part, dims=tuple(cut[own] for cut in dims)) for own, part in enumerate(parts)]


def _cut_alike(dims: Sequence[Dim]) -> list[Dim]:
    left = [list(dim) for dim in dims]
    done: list[list[Factor]] = [[] for _ in dims]
    while all(left):
        size = min(factors[-1].size for factors in left)
        for factors, cut in zip(left, done, strict=True):
            factor = factors.pop()
            if factor.size != size:
                outer, factor = factor.cut(size)
                factors.append(outer)
            cut.append(factor)
    return [tuple(reversed(cut)) for cut in done]


def _taken(left: list[Factor], size: int) -> Dim:
    """The last factors that make up a dimension of this size, removed from the list."""
    taken: list[Factor] = []
    while size > 1:
        factor = left.pop()
        if factor.size == 1:
            continue
        if factor.size > size:
            outer, factor = factor.cut(size)
            left.append(outer)
        if size % factor.size:
            raise Untraceable
        taken.append(factor)
        size //= factor.size
    return _tidy(reversed(taken))


def _tidy(factors: Iterable[Factor]) -> Dim:
    """The same dimension in as few factors as possible."""
    tidy: list[Factor] = []
    for factor in factors:
        last = tidy[-1] if tidy else None
        if last is None or last.size == 1:
            tidy[-1:] = [factor]
        elif (last.step, last.spacing, last.scattered) == (
            factor.step * factor.size,
            factor.spacing * factor.size,
            factor.scattered,
        ):
            tidy[-1] = replace(factor, size=last.size * factor.size)
        elif factor.size > 1:
            tidy.append(factor)
    return tuple(tidy) or (Factor(1),)


def _sized(dims: Sequence[Dim], shape: Sequence[int]) -> Iterator[tuple[Dim, int, int]]:
    for dim, size in zip(dims, shape, strict=True):
        yield dim, size, prod(factor.size for factor in dim)


def _broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    length = max(map(len, shapes))
    padded = [(1,) * (length - len(shape)) + shape for shape in shapes]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))
