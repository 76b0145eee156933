"""The handwritten digits that scikit-learn ships: 1,797 real 8x8 images in 17 shades of grey.

A part of the UCI "Optical Recognition of Handwritten Digits" data set (Alpaydin and Kaynak 1998).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from trainyard.data.writer import Example

HELD_OUT_ROWS = 270
"""Rows of val and of test; 1,257 remain for train."""


def classes(source: Path | None) -> tuple[str, ...]:
    return tuple("0123456789")


def examples(source: Path | None) -> Iterator[Example]:
    """Shades 0 to 16 become 0 to 255. The splits are stratified and always the same."""
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    for split, rows in _splits(digits.target).items():
        for row in rows:
            yield Example(split=split, image=images[row], label=int(digits.target[row]))


def _splits(labels: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.arange(len(labels))
    rest, test = train_test_split(rows, test_size=HELD_OUT_ROWS, stratify=labels, random_state=0)
    train, val = train_test_split(rest, test_size=HELD_OUT_ROWS, stratify=labels[rest], random_state=0)
    return {"train": train, "val": val, "test": test}
