"""Examples of a data set to look at: some rows of a split, as pictures in their own size."""

from collections.abc import Sequence
from posixpath import basename
from typing import Any

import numpy as np

from trainyard.data.dataset import ANNOTATION_FIELDS, Dataset, RowGroup
from trainyard.data.pictures import Unusable, open_picture
from trainyard.data.sheet import Picture
from trainyard.errors import DataError

SEED = 0


def example_rows(dataset: Dataset, split: str, count: int) -> list[int]:
    """`count` rows of a split, or all there are: each class as often as can be, and the same rows every time."""
    rows = dataset.manifest.splits[split].rows
    order = np.random.default_rng(SEED).permutation(rows)
    classes = dataset.column(split, "classes").to_pylist()
    shown = dict.fromkeys(range(len(dataset.manifest.classes)), 0)
    chosen: list[int] = []
    left = order.tolist()
    while left and len(chosen) < count:
        # The row whose rarest class so far is rarest of all; of equals the first in the shuffled order.
        row = min(left[:_LOOKED_AT], key=lambda candidate: min((shown[i] for i in classes[candidate]), default=0))
        left.remove(row)
        chosen.append(row)
        for index in classes[row]:
            shown[index] += 1
    return sorted(chosen, key=lambda row: (min(classes[row], default=-1), row))


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
