"""The Parquet data set: a folder with a manifest and, for each split, files of encoded images and labels."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from trainyard.data.manifest import FORMAT_VERSION, Manifest
from trainyard.data.writer import Example, SplitWriter, manifest_of
from trainyard.errors import DataError

MANIFEST_FILE = "manifest.json"


def write_dataset(path: Path, examples: Iterable[Example], *, classes: tuple[str, ...], source: str) -> Manifest:
    """Write a data set as a whole or not at all: in a folder beside `path`, renamed when it is complete.

    The same examples in the same order give the same fingerprint. DataError if `path` exists, if an example doesn't
    fit, or if the disk refuses.
    """
    if path.exists():
        raise DataError(f"{path} exists already. Delete it, or choose another folder.")
    aside = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        aside.mkdir(parents=True)
        manifest = _write_files(aside, examples, classes=classes, source=source)
        (aside / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
        aside.rename(path)
    except OSError as error:
        raise DataError(f"can't write the data set {path}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return manifest


def _write_files(folder: Path, examples: Iterable[Example], *, classes: tuple[str, ...], source: str) -> Manifest:
    writers: dict[str, SplitWriter] = {}
    for row, example in enumerate(examples):
        writer = writers.get(example.split)
        if writer is None:
            writer = writers[example.split] = SplitWriter(folder, example.split, classes)
        try:
            writer.add(example)
        except ValueError as error:
            raise DataError(f"{source}, example {row} (split {example.split}): {error}.") from error
    return manifest_of(writers, classes=classes, source=source)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set whose manifest is sound and whose files are there with the number of rows that it states."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Self:
        """DataError if the folder is missing, half-written, of another version, or its files don't fit its manifest."""
        if not path.is_dir():
            raise DataError(
                f"no data set at {path}. Import one there, such as the digits: trainyard data import digits {path}"
            )
        dataset = cls(path=path, manifest=_read_manifest(path))
        for split in dataset.manifest.splits:
            dataset._check_files(split)
        return dataset

    def batches(self, split: str, rows: int = 1024) -> Iterator[pa.RecordBatch]:
        """The rows of a split in their order: columns `image` (encoded, bytes) and `label` (int64)."""
        for file in self.manifest.splits[split].files:
            with pq.ParquetFile(self.path / file) as parquet:
                yield from parquet.iter_batches(rows, columns=["image", "label"])

    def _check_files(self, split: str) -> None:
        facts = self.manifest.splits[split]
        rows = sum(self._rows_in(file) for file in facts.files)
        if rows != facts.rows:
            raise DataError(
                f"{self.path}: split {split} has {rows} rows, its manifest says {facts.rows}. {_again(self.path)}"
            )

    def _rows_in(self, file: str) -> int:
        try:
            return int(pq.read_metadata(self.path / file).num_rows)
        except FileNotFoundError as error:
            raise DataError(f"{self.path}: {file} is missing. {_again(self.path)}") from error
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{self.path}: {file} can't be read: {error}. {_again(self.path)}") from error


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST_FILE
    try:
        text = file.read_text()
    except FileNotFoundError as error:
        raise DataError(f"{path} is no data set or a half-written one: no {MANIFEST_FILE}. {_again(path)}") from error
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror}.") from error
    try:
        version = json.loads(text)["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is damaged: {error}. {_again(path)}") from error
    if version != FORMAT_VERSION:
        raise DataError(
            f"{file} has format version {version}, this trainyard reads version {FORMAT_VERSION}. {_again(path)}"
        )
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "manifest"
        raise DataError(f"{file} is damaged: {where}: {first['msg']}. {_again(path)}") from error


def _again(path: Path) -> str:
    return f"Delete {path} and import it again (trainyard data import)."
