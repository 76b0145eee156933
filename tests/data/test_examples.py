"""Which rows of a split are shown as examples of it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from trainyard.data.dataset import Dataset
from trainyard.data.examples import example_rows, spread_rows
from trainyard.data.manifest import Annotation
from trainyard.data.sampling import RowClasses


def rows_of(classes: Sequence[Sequence[int]]) -> RowClasses:
    starts = np.cumsum([0, *map(len, classes)])
    return RowClasses(classes=np.array([index for row in classes for index in row], int), starts=starts)


def test_each_class_is_shown_as_often_as_can_be() -> None:
    rows = rows_of([[0]] * 50 + [[1]] * 3 + [[2]])
    chosen = spread_rows(rows, classes=3, count=6)
    counts = [sum(rows.of(row) == [label] for row in chosen) for label in range(3)]
    assert counts in ([2, 3, 1], [3, 2, 1])


def test_fewer_rows_are_the_first_of_more() -> None:
    rows = rows_of([[row % 5] for row in range(100)])
    assert spread_rows(rows, classes=5, count=12)[:4] == spread_rows(rows, classes=5, count=4)


def test_rows_without_a_class_do_not_take_the_place_of_the_others() -> None:
    rows = rows_of([[]] * 60 + [[0]] * 4 + [[1]] * 4)
    chosen = spread_rows(rows, classes=2, count=6)
    assert sorted(rows.of(row) for row in chosen) == [[], [], [0], [0], [1], [1]]


def test_all_rows_where_more_are_asked_for() -> None:
    assert sorted(spread_rows(rows_of([[0], [1], [0]]), classes=2, count=9)) == [0, 1, 2]


def test_the_rows_of_a_data_set_are_the_same_however_it_is_annotated(shapes: Callable[[Annotation], Path]) -> None:
    masks, boxes = (Dataset.open(shapes(annotation)) for annotation in ("mask", "boxes"))
    assert example_rows(masks, "val", 6) == example_rows(masks, "val", 6)
    assert sorted(example_rows(boxes, "val", 6)) == list(range(6))


def test_rows_have_the_names_of_their_source(shapes: Callable[[Annotation], Path]) -> None:
    assert Dataset.open(shapes("mask")).names("val", [5, 0]) == ["images/red-21.png", "images/red-16.png"]
