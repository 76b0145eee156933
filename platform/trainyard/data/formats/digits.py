"""The handwritten digits that scikit-learn ships: 1,797 real 8x8 images in 17 shades of grey.

A part of the UCI "Optical Recognition of Handwritten Digits" data set (Alpaydin and Kaynak 1998).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trainyard.data.formats.rows import file_and_row, row_example
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.data.source import Entry, Example, ImportOptions, Listing

HELD_OUT_ROWS = 270
"""Rows of val and of test; 1,257 remain for train."""


def open_source(location: Location | None, options: ImportOptions) -> "DigitsSource":
    return DigitsSource()


def fits(tree: Tree) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class DigitsSource:
    """Shades 0 to 16 become 0 to 255. The splits are stratified and always the same."""

    def listing(self) -> Listing:
        _, labels = _digits()
        entries = [
            Entry(name=f"digits#{row}", split=split, label=int(labels[row]), source_bytes=64)
            for split, rows in _splits(labels).items()
            for row in rows
        ]
        return Listing(annotation="label", classes=tuple("0123456789"), entries=entries)

    def read(self, entry: Entry) -> Example:
        _, row = file_and_row(entry)
        return row_example(entry, _digits()[0][row])


@lru_cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (1797, 8, 8) and labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target


def _splits(labels: np.ndarray) -> dict[str, np.ndarray]:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    rest, test = train_test_split(rows, test_size=HELD_OUT_ROWS, stratify=labels, random_state=0)
    train, val = train_test_split(rest, test_size=HELD_OUT_ROWS, stratify=labels[rest], random_state=0)
    return {"train": train, "val": val, "test": test}
