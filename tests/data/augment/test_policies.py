"""TrivialAugment and RandAugment draw what they say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trainyard.data.augment import policies
from trainyard.data.augment.drawing import Block
from trainyard.data.augment.policies import PolicyDraws, drawn_policies
from trainyard.spec.augmentations import Augmentations


@pytest.fixture
def drawn(make_block: Callable[..., Block]) -> Callable[[dict[str, Any]], list[PolicyDraws]]:
    """For 8,000 samples."""
    block = make_block(steps=10, batch_size=800, height=32, width=32)
    return lambda settings: drawn_policies(Augmentations.model_validate(settings), block)


def test_every_operation_is_as_likely(drawn: Callable[..., list[PolicyDraws]]) -> None:
    (draws,) = drawn({"trivial_augment": {}})
    shares = np.bincount(draws.operation, minlength=14) / len(draws.operation)
    assert shares == pytest.approx(np.full(14, 1 / 14), abs=0.01)


def test_trivial_augment_draws_every_magnitude_up_to_its_largest(drawn: Callable[..., list[PolicyDraws]]) -> None:
    (draws,) = drawn({"trivial_augment": {"magnitude": 6}})
    magnitudes = np.rint(draws.level * policies.MAGNITUDES)
    assert np.unique(magnitudes).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert np.unique(draws.sign).tolist() == [-1, 1]


def test_rand_augment_draws_so_many_operations_at_one_magnitude(drawn: Callable[..., list[PolicyDraws]]) -> None:
    draws = drawn({"rand_augment": {"operations": 3, "magnitude": 12}})
    assert len(draws) == 3
    assert {float(level) for one in draws for level in one.level} == {0.4}
    assert not (draws[0].operation == draws[1].operation).all()


def test_a_sample_that_is_left_out_has_no_operation(drawn: Callable[..., list[PolicyDraws]]) -> None:
    draws = drawn({"rand_augment": {"operations": 2, "p": 0.4}})
    untouched = (draws[0].operation == 0) & (draws[1].operation == 0)
    assert untouched.mean() == pytest.approx(0.6 + 0.4 / 14**2, abs=0.02)


@pytest.mark.parametrize("operation", ["posterize", "solarize"])
def test_the_lowest_level_changes_nothing(operation: str, drawn: Callable[..., list[PolicyDraws]]) -> None:
    (draws,) = drawn({"trivial_augment": {"magnitude": 3}})
    assert (draws.level[draws.drew(operation)] > 0).all()
    assert draws.drew(operation).any()


def test_magnitude_zero_draws_nothing(drawn: Callable[..., list[PolicyDraws]]) -> None:
    assert drawn({"trivial_augment": {"magnitude": 0}, "rand_augment": {"magnitude": 0}}) == []


def test_moves_of_samples_that_drew_none_are_none(drawn: Callable[..., list[PolicyDraws]]) -> None:
    (draws,) = drawn({"trivial_augment": {}})
    still = np.isin(draws.operation, [policies.OPERATIONS.index(name) for name in policies.MOVES], invert=True)
    for move in draws.moves():
        assert (move[still] == np.eye(3)).all()
