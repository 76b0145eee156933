"""How often each row is drawn: from the classes that occur in it to its weight. Pure functions of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from trainyard.data.dataset import Dataset
from trainyard.errors import DataError
from trainyard.spec.sampling import ClassBalanced, Sampling, Weighted


@dataclass(frozen=True, kw_only=True, eq=False)
class RowClasses:
    """The distinct classes that occur in each row, one row after the other.

    classes: int (total,), class indexes. starts: int64 (rows + 1,): row i has classes[starts[i] : starts[i + 1]].
    """

    classes: np.ndarray
    starts: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.starts) - 1

    def of(self, row: int) -> list[int]:
        """The classes of a row."""
        return list(self.classes[self.starts[row] : self.starts[row + 1]].tolist())

    @classmethod
    def of_labels(cls, labels: np.ndarray) -> "RowClasses":
        """One class a row."""
        return cls(classes=labels, starts=np.arange(len(labels) + 1))


def row_weights(sampling: Sampling, rows: RowClasses, class_names: Sequence[str]) -> np.ndarray | None:
    """float64 (rows,), how often each row is drawn in proportion to the others; None: all alike.

    class_balanced: each class is drawn equally often, where an image of several classes counts as one of its rarest, by
    the images in which they occur. Images without a class are a class of their own. weighted: a row has the factor of
    its class, and one of several classes the largest of theirs, as in repeat factor sampling (Gupta, Dollar and
    Girshick 2019, LVIS, appendix: r_i = max over the classes of image i); one without a class has 1.

    DataError if every row's weight is 0.
    """
    match sampling:
        case ClassBalanced():
            return _balanced(rows, len(class_names))
        case Weighted(weights=weights):
            factors = np.array([weights.get(name, 1.0) for name in class_names])
            found = _of_each_row(rows, factors, np.maximum, none=1.0)
            if not found.any():
                raise DataError(
                    "training.sampling.weights must not all be 0 for the classes that occur in the training split."
                )
            return found
        case _:
            return None


def _balanced(rows: RowClasses, classes: int) -> np.ndarray:
    images = np.bincount(rows.classes, minlength=classes)
    rank = np.argsort(np.argsort(images, kind="stable"))  # 0: the rarest
    rarest = _of_each_row(rows, rank, np.minimum, none=classes).astype(np.int64)
    return 1 / np.bincount(rarest, minlength=classes + 1)[rarest]


def _of_each_row(rows: RowClasses, value: np.ndarray, choose: np.ufunc, none: float) -> np.ndarray:
    """What `choose` makes of the values of a row's classes; `none` where there is no class."""
    chosen = np.full(rows.rows, none, np.float64)
    some = np.flatnonzero(np.diff(rows.starts))
    if len(some):
        chosen[some] = choose.reduceat(value[rows.classes], rows.starts[some])
    return chosen


def row_classes(dataset: Dataset, split: str) -> RowClasses:
    """Read from the data set. DataError if it can't be."""
    column = dataset.column(split, "classes").combine_chunks()
    lists = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    counts = np.concatenate([[0], *(np.diff(np.asarray(part.offsets)) for part in lists)])
    classes = np.concatenate([np.empty(0, np.int16), *(np.asarray(part.flatten()) for part in lists)])
    return RowClasses(classes=classes, starts=np.cumsum(counts))
