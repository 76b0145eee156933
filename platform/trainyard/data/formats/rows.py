"""Entries that are rows of arrays: many images in one file."""

from collections.abc import Iterator, Sequence

import numpy as np

from trainyard.data.source import Entry, Example
from trainyard.errors import DataError


def row_entries(file: str, labels: np.ndarray, *, split: str | None, row_bytes: int) -> Iterator[Entry]:
    """labels: int (N,)."""
    for row, label in enumerate(labels.tolist()):
        yield Entry(name=f"{file}#{row}", split=split, label=label, source_bytes=row_bytes)


def file_and_row(entry: Entry) -> tuple[str, int]:
    file, _, row = entry.name.rpartition("#")
    return file, int(row)


def row_example(entry: Entry, image: np.ndarray) -> Example:
    """image: uint8 (H, W), (H, W, 3) or, grey, (H, W, 1)."""
    assert entry.split is not None
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    return Example(name=entry.name, split=entry.split, image=image, label=entry.label)


def numbered_classes(labels: Sequence[np.ndarray], names: tuple[str, ...] | None, *, where: str) -> tuple[str, ...]:
    """The names given, or "0" up to the largest label. DataError if a label has no name, or is below 0."""
    lowest = min(int(part.min()) for part in labels if part.size)
    highest = max(int(part.max()) for part in labels if part.size)
    if lowest < 0:
        raise DataError(f"{where}: labels must be >= 0, got {lowest}.")
    if names is None:
        return tuple(map(str, range(highest + 1)))
    if highest >= len(names):
        raise DataError(
            f"{where}: labels go up to {highest}, but {len(names)} classes were given. Name all {highest + 1}, from "
            "label 0 on."
        )
    return names
