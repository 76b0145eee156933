"""The Parquet data set: a folder with a manifest and, for each split, files of images with their annotations."""

import hashlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from trainyard.data.location import Location, patiently
from trainyard.data.manifest import FORMAT_VERSION, Annotation, FileFacts, Manifest
from trainyard.data.source import Boxes
from trainyard.errors import DataError, StorageError

MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.json"
IMPORT_FOLDER = "_import"
"""Where an import keeps its plan and what it has finished; it goes when the manifest is written."""

THREADS = 32
"""Requests at a time. A footer in a bucket takes some 30 ms, a thousand one after the other half a minute."""

_T = TypeVar("_T")
_R = TypeVar("_R")

ANNOTATION_FIELDS: Mapping[Annotation, tuple[tuple[str, pa.DataType], ...]] = {
    "label": (("label", pa.int64()),),
    "mask": (("mask", pa.binary()),),
    "boxes": (
        ("boxes", pa.list_(pa.float32())),
        ("box_labels", pa.list_(pa.int64())),
        ("box_crowd", pa.list_(pa.bool_())),
    ),
}


def schema_of(annotation: Annotation) -> pa.Schema:
    """The columns of every file.

    name: the entry's in its source. image: as the manifest's encoding says. label: class index. mask: 8-bit grey PNG of
    class indexes, 255 void. boxes: left, top, right, bottom in pixels, one box after the other. classes: those that
    occur in the row, distinct and ascending. digest: see `row_digest`.
    """
    fields = [("name", pa.string()), ("image", pa.binary()), *ANNOTATION_FIELDS[annotation]]
    return pa.schema([*fields, ("classes", pa.list_(pa.int16())), ("digest", pa.binary(32))])


def row_digest(
    image: bytes | memoryview,
    *,
    label: int | None = None,
    mask: np.ndarray | None = None,
    boxes: Boxes | None = None,
) -> bytes:
    """SHA-256 (32 bytes) of a row's image and annotation.

    image: the bytes of the column. mask: its pixels, uint8 (H, W), so that it doesn't matter how they were compressed.
    boxes: corners (M, 4) or (4 * M,), taken as float32, as they are stored.
    """
    return annotated_digest(hashlib.sha256(image).digest(), label=label, mask=mask, boxes=boxes)


def annotated_digest(
    image_digest: bytes, *, label: int | None = None, mask: np.ndarray | None = None, boxes: Boxes | None = None
) -> bytes:
    """`row_digest` from the SHA-256 of the image, for those who have it."""
    digest = hashlib.sha256(image_digest)
    if label is not None:
        digest.update(b"label" + label.to_bytes(8, "little", signed=True))
    if mask is not None:
        digest.update(b"mask" + np.array(mask.shape, "<i8").tobytes())
        digest.update(np.ascontiguousarray(mask, np.uint8).data)
    if boxes is not None:
        digest.update(b"boxes" + np.array(len(boxes.labels), "<i8").tobytes())
        digest.update(np.ascontiguousarray(boxes.corners, "<f4").tobytes())
        digest.update(np.ascontiguousarray(boxes.labels, "<i8").tobytes())
        digest.update(np.ascontiguousarray(boxes.crowd, np.uint8).tobytes())
    return digest.digest()


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """The part of a split that is read at once. first_row: in the split."""

    file: str
    index: int
    first_row: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set whose manifest is sound and whose files are there with the number of rows that it states.

    It is pickled without the files' footers: whoever gets it reads those that it needs.
    """

    location: Location
    manifest: Manifest
    _groups: Mapping[str, tuple[RowGroup, ...]] = field(repr=False, compare=False)
    _footers: dict[str, pq.FileMetaData] = field(repr=False, compare=False)

    @classmethod
    def open(cls, place: Path | str | Location) -> Self:
        """DataError if the folder is missing, half-written, of another version, or its files don't fit its manifest."""
        location = Location.of(place)
        manifest = _read_manifest(location)
        files = [file for split in manifest.splits.values() for file in split.files]
        footers = dict(zip((file.name for file in files), _map(partial(_footer, location), files), strict=True))
        for file in files:
            _check_file(location, manifest, file, footers[file.name])
        groups = {name: tuple(_row_groups(split.files, footers)) for name, split in manifest.splits.items()}
        return cls(location=location, manifest=manifest, _groups=groups, _footers=footers)

    @property
    def path(self) -> str:
        """For messages."""
        return str(self.location)

    def groups(self, split: str) -> list[RowGroup]:
        """The row groups of a split, in the order of its rows. DataError if there is no such split."""
        self._facts(split)
        return list(self._groups[split])

    def read_group(self, group: RowGroup, columns: Sequence[str]) -> pa.Table:
        """The rows of one group. It may be called from several threads at a time.

        StorageError where they can't be read, from a bucket for longer than a moment.
        """
        if not self.location.scheme:
            return self._read_group(group, columns)
        return patiently(lambda: self._read_group(group, columns))

    def _read_group(self, group: RowGroup, columns: Sequence[str]) -> pa.Table:
        with _opened(self.location, group.file, self._footers.get(group.file)) as file:
            self._footers.setdefault(group.file, file.metadata)
            return file.read_row_group(group.index, columns=list(columns), use_threads=False)

    def column(self, split: str, name: str) -> pa.ChunkedArray:
        """One column of a whole split, such as `label`, `classes` or `digest`."""
        files = [file.name for file in self._facts(split).files]
        chunks = _map(partial(self._file_column, name=name), files)
        kind = schema_of(self.manifest.annotation).field(name).type
        return pa.chunked_array([chunk for column in chunks for chunk in column.chunks], type=kind)

    def names(self, split: str, rows: Sequence[int]) -> list[str]:
        """What some rows were called in the source."""
        found: dict[int, str] = {}
        for group in self.groups(split):
            wanted = [row for row in rows if group.first_row <= row < group.first_row + group.rows]
            if wanted:
                column = self.read_group(group, ["name"])["name"]
                found.update((row, str(column[row - group.first_row].as_py())) for row in wanted)
        return [found[row] for row in rows]

    def check_content(self, split: str) -> None:
        """DataError unless the digests of the rows are those that were imported.

        That an image is the one of its digest shows when it is decoded (`row_digest`).
        """
        digest = hashlib.sha256()
        for chunk in self.column(split, "digest").chunks:
            digest.update(_fixed_bytes(chunk))
        if digest.hexdigest() != self._facts(split).fingerprint:
            raise DataError(
                f"{self.path}: the content of split {split} isn't what was imported: its fingerprint differs from the "
                f"manifest's. {_again(self.location)}"
            )

    def _facts(self, split: str) -> Any:
        facts = self.manifest.splits.get(split)
        if facts is None:
            raise DataError(f"{self.path} has no split {split}. It has: {', '.join(self.manifest.splits)}.")
        return facts

    def _file_column(self, file: str, *, name: str) -> pa.ChunkedArray:
        with _opened(self.location, file, self._footers.get(file)) as parquet:
            return parquet.read([name], use_threads=False)[name]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_footers": {}}


def _map(function: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    if len(items) < 2:
        return list(map(function, items))
    with ThreadPoolExecutor(min(THREADS, len(items))) as pool:
        return list(pool.map(function, items))


@contextmanager
def _opened(location: Location, file: str, footer: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    """StorageError, with the way out, for whatever keeps a file from being read."""
    try:
        with (
            (location / file).open_input() as stream,
            pq.ParquetFile(stream, metadata=footer, pre_buffer=bool(location.scheme)) as parquet,
        ):
            yield parquet
    except FileNotFoundError as error:
        if location.local and not (location / MANIFEST_FILE).exists():
            raise StorageError(
                f"{socket.gethostname()} does not see the data set {location}. Put it there, or mount the storage that "
                "holds it."
            ) from error
        raise StorageError(f"{location}: {file} is missing. {_again(location)}") from error
    except (OSError, pa.ArrowInvalid) as error:
        # What a bucket refuses says nothing about the file.
        way_out = "" if location.scheme and isinstance(error, OSError) else f" {_again(location)}"
        raise StorageError(f"{location}: {file} can't be read: {str(error).rstrip('.')}.{way_out}") from error
    except DataError as error:  # a bucket that can't be reached
        raise StorageError(str(error)) from error


def _footer(location: Location, file: FileFacts) -> pq.FileMetaData:
    with _opened(location, file.name) as parquet:
        return parquet.metadata


def _check_file(location: Location, manifest: Manifest, file: FileFacts, footer: pq.FileMetaData) -> None:
    if footer.num_rows != file.rows:
        raise DataError(
            f"{location}: {file.name} has {footer.num_rows} rows, its manifest says {file.rows}. {_again(location)}"
        )
    missing = set(schema_of(manifest.annotation).names) - set(footer.schema.to_arrow_schema().names)
    if missing:
        raise DataError(f"{location}: {file.name} has no column {min(missing)}. {_again(location)}")


def _row_groups(files: Sequence[FileFacts], footers: Mapping[str, pq.FileMetaData]) -> Iterator[RowGroup]:
    first = 0
    for file in files:
        footer = footers[file.name]
        for index in range(footer.num_row_groups):
            rows = footer.row_group(index).num_rows
            yield RowGroup(file=file.name, index=index, first_row=first, rows=rows)
            first += rows


def _fixed_bytes(chunk: pa.FixedSizeBinaryArray) -> memoryview:
    width = chunk.type.byte_width
    return memoryview(chunk.buffers()[1])[chunk.offset * width : (chunk.offset + len(chunk)) * width]


def _read_manifest(location: Location) -> Manifest:
    file = location / MANIFEST_FILE
    try:
        text = file.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(_no_manifest(location)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read {file}: {error}.") from error
    try:
        version = json.loads(text)["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is damaged: {error}. {_again(location)}") from error
    if version != FORMAT_VERSION:
        raise DataError(
            f"{file} has format version {version}, this trainyard reads version {FORMAT_VERSION}. {_again(location)}"
        )
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "manifest"
        raise DataError(f"{file} is damaged: {where}: {first['msg']}. {_again(location)}") from error


def _no_manifest(location: Location) -> str:
    if not location.is_directory():
        return (
            f"no data set at {location}. Import one there, such as the digits: trainyard data import digits {location}"
        )
    if (location / IMPORT_FOLDER).exists():
        return (
            f"{location} is half-written: an import into it was interrupted, or is still at work. Repeat the import "
            "with the same source and options to finish it (trainyard data import): it goes on where it stopped."
        )
    return f"{location} is no data set: it has no {MANIFEST_FILE}. {_again(location)}"


def _again(location: Location) -> str:
    return f"Delete {location} and import it again (trainyard data import)."
