"""Weights of rows follow from the classes that occur in them."""

import numpy as np
import pytest

from trainyard.data.rows import shuffled
from trainyard.data.sampling import RowClasses, row_weights
from trainyard.errors import DataError
from trainyard.spec.sampling import ClassBalanced, Shuffled, Weighted

NAMES = ("road", "car", "bus")


def rows_of(*classes: list[int]) -> RowClasses:
    starts = np.cumsum([0, *map(len, classes)])
    return RowClasses(classes=np.array([index for row in classes for index in row], np.int16), starts=starts)


def balanced(rows: RowClasses) -> np.ndarray:
    weights = row_weights(ClassBalanced(name="class_balanced"), rows, NAMES)
    assert weights is not None
    return weights


def weighted(rows: RowClasses, **factors: float) -> list[float]:
    weights = row_weights(Weighted(name="weighted", weights=factors), rows, NAMES)
    assert weights is not None
    return weights.tolist()


def test_shuffled_rows_have_no_weights() -> None:
    assert row_weights(Shuffled(name="shuffled"), rows_of([0]), NAMES) is None


def test_each_class_is_drawn_equally_often() -> None:
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    weights = balanced(RowClasses.of_labels(labels))
    epochs = [labels[shuffled(100, epoch=epoch, seed=0, weights=weights)] for epoch in range(1, 31)]
    assert np.allclose(np.bincount(np.concatenate(epochs)) / 30, 100 / 3, atol=0.5)


def test_an_image_of_several_classes_counts_as_one_of_its_rarest() -> None:
    rows = rows_of([0], [0, 1], [0, 1], [0, 1, 2])
    assert balanced(rows).tolist() == [1, 1 / 2, 1 / 2, 1]


def test_images_without_a_class_are_a_class_of_their_own() -> None:
    assert balanced(rows_of([0], [], [0], [])).tolist() == [1 / 2] * 4


def test_a_row_has_the_factor_of_its_class_and_one_that_is_not_named_has_1() -> None:
    assert weighted(rows_of([0], [1], [2]), car=4.0, bus=0.0) == [1, 4, 0]


def test_a_row_of_several_classes_has_the_largest_factor() -> None:
    assert weighted(rows_of([0, 1], [0], [], [0, 2]), car=4.0, road=0.5) == [4, 0.5, 1, 1]


def test_weights_that_leave_no_row() -> None:
    with pytest.raises(DataError, match=r"must not all be 0 for the classes that occur in the training split"):
        weighted(rows_of([0], [0]), road=0.0)
