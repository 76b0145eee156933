"""Sources in a bucket, on a server on loopback: they are what they are on a disk."""

import gzip
import io
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from trainyard.data.formats import open_source
from trainyard.data.location import Location
from trainyard.data.source import Example, ImportOptions


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, images=np.arange(48, dtype=np.uint8).reshape(3, 4, 4), labels=[0, 1, 0])
    return buffer.getvalue()


IDX = {
    "train-images-idx3-ubyte.gz": gzip.compress(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4])),
    "train-labels-idx1-ubyte": bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 0]),
}
BOX = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object>"
COCO = {
    "images": [{"id": 1, "file_name": "a.png"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}],
    "categories": [{"id": 1, "name": "cat"}],
}


@pytest.mark.parametrize(
    ("name", "files", "source"),
    [
        ("mnist", IDX, ""),
        ("npz", {"images.npz": npz()}, "images.npz"),
        ("csv", {"labels/x.csv": "file,label\na.png,cat\n", "a.png": None}, "labels/x.csv"),
        ("pascal_voc", {"a.png": None, "a.xml": f"<annotation>{BOX}</annotation>"}, ""),
        ("coco", {"annotations/x.json": COCO, "images/a.png": None}, "annotations/x.json"),
        ("mask_folder", {"images/a.png": None, "masks/a.png": np.eye(4, dtype=np.uint8)}, ""),
    ],
)
def test_a_source_in_a_bucket(name: str, files: Mapping, source: str, bucket: Location, lay) -> None:
    disk = Location.of(lay(files))
    for file in disk.walk():
        (bucket / name / file.path).write_bytes((disk / file.path).read_bytes())
    assert facts(name, bucket / name, source) == facts(name, disk, source)


def facts(name: str, folder: Location, source: str) -> list[tuple]:
    opened = open_source(name, folder / source if source else folder, ImportOptions())
    listing = opened.listing()
    rows = [opened.read(replace(entry, split=entry.split or "train")) for entry in listing.entries]
    return [listing.classes, listing.annotation, *map(row_facts, rows)]


def row_facts(row: Example) -> tuple:
    image = row.image if isinstance(row.image, bytes) else row.image.tolist()
    return row.name, row.label, image, row.mask, row.boxes and row.boxes.corners.tolist()
