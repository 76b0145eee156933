"""Examples of a data set to look at: some rows of a split, as pictures in their own size."""

from collections.abc import Sequence
from posixpath import basename
from typing import Any

import numpy as np

from trainyard.data.dataset import ANNOTATION_FIELDS, Dataset, RowGroup
from trainyard.data.pictures import Unusable, open_picture
from trainyard.data.sampling import RowClasses, row_classes
from trainyard.data.sheet import Picture
from trainyard.errors import DataError

SEED = 0


def example_rows(dataset: Dataset, split: str, count: int) -> list[int]:
    """`count` rows of a split, or all there are, by their classes: each as often as can be, the same every time."""
    rows = row_classes(dataset, split)
    chosen = spread_rows(rows, classes=len(dataset.manifest.classes), count=count)
    return sorted(chosen, key=lambda row: (min(rows.of(row), default=-1), row))


def spread_rows(rows: RowClasses, *, classes: int, count: int) -> list[int]:
    """`count` rows, or all there are, each class as often as can be: the same for the same classes of the rows, and of
    fewer the first."""
    left = np.random.default_rng(SEED).permutation(rows.rows).tolist()
    shown = dict.fromkeys(range(-1, classes), 0)
    chosen: list[int] = []
    while left and len(chosen) < count:
        # The row whose rarest class so far is rarest of all; of equals the first in the shuffled order. Having no class
        # is a class too, or rows without one would always be the rarest.
        row = min(left[:_LOOKED_AT], key=lambda candidate: min(shown[i] for i in rows.of(candidate) or [-1]))
        left.remove(row)
        chosen.append(row)
        for index in rows.of(row) or [-1]:
            shown[index] += 1
    return chosen


_LOOKED_AT = 2_000
"""Of a large split only so many rows are candidates at a time."""


def example_pictures(dataset: Dataset, split: str, rows: Sequence[int]) -> list[Picture]:
    """The rows, with the class as caption where there is one, else the name of the file."""
    columns = ["name", "image", *(name for name, _ in ANNOTATION_FIELDS[dataset.manifest.annotation])]
    groups = dataset.groups(split)
    pictures: dict[int, Picture] = {}
    for group in groups:
        wanted = [row for row in rows if group.first_row <= row < group.first_row + group.rows]
        if wanted:
            pictures.update(_pictures(dataset, group, wanted, columns))
    return [pictures[row] for row in rows]


def _pictures(dataset: Dataset, group: RowGroup, rows: Sequence[int], columns: Sequence[str]) -> dict[int, Picture]:
    table = dataset.read_group(group, columns).take([row - group.first_row for row in rows])
    return {row: _picture(dataset, record) for row, record in zip(rows, table.to_pylist(), strict=True)}


def _picture(dataset: Dataset, record: dict[str, Any]) -> Picture:
    image = _image(dataset, record)
    match dataset.manifest.annotation:
        case "label":
            return Picture(image=image, caption=dataset.manifest.classes[record["label"]])
        case "mask":
            mask = np.asarray(_opened(dataset, record, "mask"))
            return Picture(image=image, caption=basename(record["name"]), mask=mask)
        case "boxes":
            boxes = np.asarray(record["boxes"], dtype=np.float64).reshape(-1, 4)
            labels = np.asarray(record["box_labels"], dtype=np.int64)
            return Picture(image=image, caption=basename(record["name"]), boxes=boxes, box_labels=labels)


def _image(dataset: Dataset, record: dict[str, Any]) -> np.ndarray:
    """uint8 (C, H, W)."""
    facts = dataset.manifest.image
    if facts.encoding == "raw":
        return np.frombuffer(record["image"], np.uint8).reshape(*facts.largest, facts.channels).transpose(2, 0, 1)
    pixels = np.asarray(_opened(dataset, record, "image").convert("L" if facts.channels == 1 else "RGB"))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _opened(dataset: Dataset, record: dict[str, Any], column: str) -> Any:
    try:
        return open_picture(record[column], column)
    except Unusable as error:
        raise DataError(f"{dataset.path}: {record['name']}: {error}.") from error
