"""Weights from independent numbers and back: uniform, exact, and without any number that gives no weights."""

import random
from itertools import pairwise
from statistics import fmean, pvariance

import pytest

from trainyard.spec.simplex import lattice, units_from, weights_from

DRAWS = 20_000


def random_weights(terms: int, draws: int = DRAWS) -> list[tuple[float, ...]]:
    generator = random.Random(0)
    return [weights_from([generator.random() for _ in range(terms - 1)]) for _ in range(draws)]


@pytest.mark.parametrize("terms", [2, 3, 5, 8])
def test_uniform_numbers_give_weights_with_the_moments_of_a_flat_dirichlet(terms: int) -> None:
    """Dirichlet(1, ..., 1) has mean 1/K, variance (K-1) / (K^2 (K+1)) and covariance -1 / (K^2 (K+1))."""
    columns = list(zip(*random_weights(terms), strict=True))
    variance = (terms - 1) / (terms**2 * (terms + 1))
    error = 4 * (variance / DRAWS) ** 0.5

    for column in columns:
        assert fmean(column) == pytest.approx(1 / terms, abs=error)
        assert pvariance(column) == pytest.approx(variance, rel=0.06)
    for one, other in pairwise(columns):
        covariance = fmean(a * b for a, b in zip(one, other, strict=True)) - fmean(one) * fmean(other)
        assert covariance == pytest.approx(-1 / (terms**2 * (terms + 1)), abs=0.06 * variance)


def test_every_weight_is_distributed_alike_and_not_only_in_its_moments() -> None:
    """Each weight of a flat Dirichlet is Beta(1, K-1): P(w > x) = (1 - x)^(K-1)."""
    for column in zip(*random_weights(4), strict=True):
        for x in (0.05, 0.2, 0.5, 0.8):
            assert fmean(weight > x for weight in column) == pytest.approx((1 - x) ** 3, abs=0.015)


@pytest.mark.parametrize("terms", [2, 3, 7])
def test_weights_sum_to_one_and_none_is_negative(terms: int) -> None:
    for weights in random_weights(terms, draws=2000):
        assert sum(weights) == pytest.approx(1, abs=1e-12)
        assert min(weights) >= 0


@pytest.mark.parametrize("units", [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1 - 1e-16, 1e-300)])
def test_the_ends_of_the_numbers_give_weights_too(units: tuple[float, ...]) -> None:
    weights = weights_from(units)

    assert sum(weights) == pytest.approx(1, abs=1e-12)
    assert min(weights) >= 0


def test_two_weights_are_the_number_and_the_rest() -> None:
    assert weights_from([0.25]) == (0.25, 0.75)


def test_numbers_are_found_back_from_their_weights() -> None:
    for weights in random_weights(5, draws=500):
        assert weights_from(units_from(weights)) == pytest.approx(weights, abs=1e-12)


def test_weights_that_leave_nothing_to_divide() -> None:
    assert weights_from(units_from((0.0, 1.0, 0.0, 0.0))) == (0.0, 1.0, 0.0, 0.0)


def test_a_lattice_has_every_division_once() -> None:
    points = list(lattice(3, 4))

    assert len(points) == len(set(points)) == 15
    assert all(sum(point) == 1 for point in points)
    assert (0.5, 0.25, 0.25) in points
