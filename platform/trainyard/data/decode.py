"""From the encoded rows of a data set to columns in memory."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from trainyard.data.columns import Columns
from trainyard.data.dataset import ANNOTATION_FIELDS, Dataset, RowGroup, row_digest
from trainyard.data.fitting import Fit, drafted, fit, fitted_boxes, fitted_image, fitted_mask
from trainyard.data.objects import object_map
from trainyard.data.pictures import FORMATS
from trainyard.data.shapes import DecodeSettings, column_shapes
from trainyard.data.source import Boxes
from trainyard.errors import DataError

DECODER_VERSION = 1
"""Goes up when the same rows and settings come to be decoded otherwise."""

REMOTE_READERS = 16

MutableColumns = dict[str, np.ndarray]


class Decoder:
    """Decodes rows of one split; it may be used by several threads at a time.

    Every row is checked against the digest that was taken when it was imported. DataError, naming the row, for one that
    isn't what it was or can't be decoded; where there is no such split; and where sizes differ and none is asked for.
    """

    def __init__(self, dataset: Dataset, split: str, settings: DecodeSettings | None = None) -> None:
        dataset.groups(split)  # DataError if there is no such split
        self._dataset = dataset
        self._split = split
        self._settings = settings or DecodeSettings()
        self._manifest = dataset.manifest
        self.shapes = column_shapes(dataset.manifest, split, self._settings, dataset.path)
        self.row_bytes = sum(column.nbytes for column in self.shapes.values())
        annotation = [name for name, _ in ANNOTATION_FIELDS[dataset.manifest.annotation]]
        self._columns = ["name", "image", *annotation, "digest"]

    def empty(self, rows: int) -> MutableColumns:
        """Room for so many rows."""
        return {name: np.empty((rows, *column.shape), column.dtype) for name, column in self.shapes.items()}

    def groups(self, groups: Sequence[RowGroup]) -> Columns:
        """All rows of some row groups, one after the other."""
        columns = self.empty(sum(group.rows for group in groups))
        start = 0
        for group, encoded in zip(groups, self.read_all(groups), strict=True):
            at = np.arange(start, start + group.rows)
            self.fill(columns, encoded, np.arange(group.rows), at)
            start += group.rows
        return columns

    def take(self, rows: np.ndarray) -> Columns:
        """Some rows of the split, int64 (n,), in this order. Reads a whole row group for each, so for a few."""
        columns = self.empty(len(rows))
        for group in self._dataset.groups(self._split):
            at = np.flatnonzero((rows >= group.first_row) & (rows < group.first_row + group.rows))
            if len(at):
                self.fill(columns, self.read(group), rows[at] - group.first_row, at)
        return columns

    def read(self, group: RowGroup) -> "Encoded":
        """The rows of a group as they are stored."""
        return Encoded(self._dataset.read_group(group, self._columns))

    def read_all(self, groups: Sequence[RowGroup]) -> Iterator["Encoded"]:
        """The groups in their order, in a bucket several at a time: a request takes some 30 ms, nearly all waiting."""
        if self._dataset.location.local is not None:
            yield from map(self.read, groups)
            return
        with ThreadPoolExecutor(REMOTE_READERS) as pool:
            yield from pool.map(self.read, groups)

    def fill(self, columns: MutableColumns, encoded: "Encoded", rows: np.ndarray, at: np.ndarray | None = None) -> None:
        """Decode some rows of a group into as many places of the columns, by default from the first on."""
        places = np.arange(len(rows)) if at is None else at
        if self.is_plain:
            self._copy_pixels(columns, places, encoded, rows)
        else:
            self._decode_images(columns, places, encoded, rows)

    @property
    def is_plain(self) -> bool:
        """Whether images are stored as they are wanted, but for the order of their axes and their channels."""
        image = self._manifest.image
        return (
            image.encoding == "raw"
            and image.size == self.shapes["image"].shape[1:]
            and self._manifest.annotation == "label"
        )

    def _copy_pixels(self, columns: MutableColumns, at: np.ndarray, encoded: "Encoded", rows: np.ndarray) -> None:
        """All at once: 40 times as fast as image by image at 3x32x32, most of which is the digests."""
        assert self._manifest.image.size is not None
        height, width = self._manifest.image.size
        channels = self._manifest.image.channels
        size = height * width * channels
        wrong = np.flatnonzero(encoded.sizes("image") != size)
        if len(wrong):
            raise self._refusal(encoded, int(wrong[0]), f"doesn't have {height}x{width}x{channels} pixels")
        for row in rows.tolist():
            self._check(encoded, row, label=encoded.labels[row])
        images = encoded.all_bytes("image").reshape(-1, height, width, channels)
        if not np.array_equal(rows, np.arange(len(images))):  # a copy that a whole group in its order does without
            images = images[rows]
        columns["image"][at] = _with_channels(images, columns["image"].shape[1]).transpose(0, 3, 1, 2)
        columns["label"][at] = np.asarray(encoded.labels)[rows]

    def _decode_images(self, columns: MutableColumns, at: np.ndarray, encoded: "Encoded", rows: np.ndarray) -> None:
        for place, row in zip(at.tolist(), rows.tolist(), strict=True):
            try:
                way = self._decode_image(columns["image"][place], encoded.bytes("image", row))
                own = {name: column[place : place + 1] for name, column in columns.items()}
                self._decode_annotation(own, encoded, row, way)
            except DataError:
                raise
            except Exception as error:  # Pillow raises whatever comes for what is damaged
                raise self._refusal(encoded, row, f"can't be decoded: {error}") from error

    def _decode_image(self, pixels: np.ndarray, encoded: memoryview) -> Fit:
        """pixels: uint8 (C, H, W), to be written. Returns how the image was fitted into it."""
        channels, *canvas = pixels.shape
        picture = self._opened(encoded)
        way = fit((picture.height, picture.width), (canvas[0], canvas[1]), self._settings.resize)
        shown = drafted(picture, way)
        stored = self._manifest.image.channels
        image = fitted_image(picture.convert("L" if min(channels, stored) == 1 else "RGB"), shown)
        pixels[:] = image if image.ndim == 2 else image.transpose(2, 0, 1)
        return way

    def _opened(self, encoded: memoryview) -> Image.Image:
        image = self._manifest.image
        if image.encoding == "file":
            return Image.open(io.BytesIO(encoded), formats=FORMATS)
        assert image.size is not None, "raw images have one size"
        size = image.size if image.channels == 1 else (*image.size, image.channels)
        return Image.fromarray(np.frombuffer(encoded, np.uint8).reshape(size))

    def _decode_annotation(self, columns: MutableColumns, encoded: "Encoded", row: int, way: Fit) -> None:
        """columns: of this row only, (1, ...)."""
        match self._manifest.annotation:
            case "label":
                self._check(encoded, row, label=encoded.labels[row])
                columns["label"][0] = encoded.labels[row]
            case "mask":
                mask = np.asarray(Image.open(io.BytesIO(encoded.bytes("mask", row)), formats=["PNG"]))
                self._check(encoded, row, mask=mask)
                fitted, objects = fitted_mask(mask, way), self._settings.objects
                columns["mask"][0] = fitted if objects is None else object_map(fitted, objects)
            case "boxes":
                boxes = encoded.boxes(row)
                self._check(encoded, row, boxes=boxes)
                _fill_boxes({name: column[0] for name, column in columns.items()}, boxes, way)

    def _check(self, encoded: "Encoded", row: int, **annotation: Any) -> None:
        if row_digest(encoded.bytes("image", row), **annotation) != encoded.digests[row]:
            raise self._refusal(encoded, row, "isn't what was imported: its digest differs")

    def _refusal(self, encoded: "Encoded", row: int, what: str) -> DataError:
        return DataError(
            f"{self._dataset.path}: the image {encoded.name(row)} of split {self._split} {what}. Delete "
            f"{self._dataset.path} and import it again (trainyard data import)."
        )


def decode_split(dataset: Dataset, split: str, settings: DecodeSettings | None = None) -> Columns:
    """All rows of a split in one piece. DataError as Decoder, and if rows were exchanged or removed."""
    decoder = Decoder(dataset, split, settings)
    dataset.check_content(split)
    return decoder.groups(dataset.groups(split))


class Encoded:
    """The rows of a group as they are stored, without a copy of what is in them."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table.combine_chunks()
        self._views: dict[str, tuple[np.ndarray, memoryview]] = {}

    @cached_property
    def labels(self) -> list[int]:
        return list(self._array("label").to_pylist())

    @cached_property
    def digests(self) -> list[bytes]:
        return list(self._array("digest").to_pylist())

    def name(self, row: int) -> str:
        return str(self._array("name")[row].as_py())

    def bytes(self, column: str, row: int) -> memoryview:
        starts, content = self._binary(column)
        return content[starts[row] : starts[row + 1]]

    def sizes(self, column: str) -> np.ndarray:
        """Bytes of each row, (rows,)."""
        return np.diff(self._binary(column)[0])

    def all_bytes(self, column: str) -> np.ndarray:
        """uint8, of one row after the other."""
        starts, content = self._binary(column)
        return np.frombuffer(content[starts[0] : starts[-1]], np.uint8)

    def boxes(self, row: int) -> Boxes:
        corners, labels, crowd = (
            np.asarray(self._array(name)[row].values) for name in ("boxes", "box_labels", "box_crowd")
        )
        return Boxes(corners=corners.reshape(-1, 4), labels=labels, crowd=crowd)

    def _array(self, column: str) -> Any:
        chunked = self._table[column]
        return chunked.chunk(0) if chunked.num_chunks == 1 else pa.concat_arrays(chunked.chunks)

    def _binary(self, column: str) -> tuple[np.ndarray, memoryview]:
        """Where the bytes of each row begin, (rows + 1,), and the bytes of all."""
        view = self._views.get(column)
        if view is None:
            array = self._array(column)
            _, starts, content = array.buffers()
            rows = np.frombuffer(starts, np.int32)[array.offset : array.offset + len(array) + 1]
            view = self._views[column] = rows, memoryview(content or b"")
        return view


def _fill_boxes(columns: MutableColumns, boxes: Boxes, way: Fit) -> None:
    corners, left = fitted_boxes(boxes.corners, way)
    count = int(left.sum())
    columns["boxes"][:count], columns["boxes"][count:] = corners[left], 0
    columns["box_labels"][:count], columns["box_labels"][count:] = boxes.labels[left], -1
    columns["box_crowd"][:count], columns["box_crowd"][count:] = boxes.crowd[left], False


def _with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (N, H, W, C) with another C: grey repeated, colours weighed as Pillow does (ITU-R 601-2)."""
    if images.shape[3] == channels:
        return images
    if channels == 3:
        return np.broadcast_to(images, (*images.shape[:3], 3))
    red, green, blue = np.moveaxis(images.astype(np.uint32), 3, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(np.uint8)[..., None]
