"""Points on a simplex (weights, none negative, that sum to one) from independent numbers in [0, 1], and back.

Stick breaking: a uniform point on the simplex of K weights is Dirichlet(1, ..., 1). Its first weight is Beta(1, K - 1),
and the others are a uniform point on the smaller simplex of what is left (Devroye, Non-Uniform Random Variate
Generation, 1986, chapter XI). The inverse distribution function of Beta(1, n) is 1 - (1 - u)^(1 / n): with n =
K - 1 - i it turns uniform u_i into the i-th weight's share of the rest. Every u gives a valid point: none is rejected.
"""

from collections.abc import Iterator, Sequence


def weights_from(units: Sequence[float]) -> tuple[float, ...]:
    """K weights from K - 1 numbers in [0, 1]; uniform on the simplex when the numbers are."""
    weights, rest = [], 1.0
    for index, unit in enumerate(units):
        weight = rest * (1 - (1 - unit) ** (1 / (len(units) - index)))
        weights.append(weight)
        rest = max(rest - weight, 0.0)
    return (*weights, rest)


def units_from(weights: Sequence[float]) -> tuple[float, ...]:
    """The K - 1 numbers that give these K weights; 0 where the weights before left nothing to divide."""
    units, rest = [], 1.0
    for index, weight in enumerate(weights[:-1]):
        share = min(weight / rest, 1.0) if rest > 0 else 0.0
        units.append(1 - (1 - share) ** (len(weights) - 1 - index))
        rest = max(rest - weight, 0.0)
    return tuple(units)


def lattice(terms: int, parts: int) -> Iterator[tuple[float, ...]]:
    """Every way of dividing 1 among the terms in steps of 1 / parts."""
    for counts in _compositions(terms, parts):
        yield tuple(count / parts for count in counts)


def _compositions(terms: int, total: int) -> Iterator[tuple[int, ...]]:
    if terms == 1:
        yield (total,)
        return
    for first in range(total, -1, -1):
        for rest in _compositions(terms - 1, total - first):
            yield (first, *rest)
