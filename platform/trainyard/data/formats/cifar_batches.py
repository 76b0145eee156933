"""The files of CIFAR-10 and CIFAR-100 (Krizhevsky 2009), python and binary versions."""

from dataclasses import dataclass
from functools import lru_cache
from posixpath import basename, dirname, join, splitext
from typing import Any

import numpy as np

from trainyard.data.formats.mismatch import folder_tree, not_of_format
from trainyard.data.formats.names import listed
from trainyard.data.formats.restricted_pickle import load_pickle
from trainyard.data.formats.rows import file_and_row, numbered_classes, row_entries, row_example
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.data.source import Entry, Example, Listing
from trainyard.errors import DataError

IMAGE_BYTES = 3 * 32 * 32


@dataclass(frozen=True, kw_only=True)
class Batches:
    """One of the two data sets.

    splits: file names, without `.bin`, of each. names: file with the classes' names, and its key, in the python
    version; in the binary version the file of lines. labels: key of the labels in a batch. label_bytes: of each row in
    the binary version, and which of them is the label.
    """

    format: str
    splits: dict[str, tuple[str, ...]]
    python_names: tuple[str, str]
    binary_names: str
    labels: str
    label_bytes: int
    label_byte: int


@dataclass(frozen=True, kw_only=True)
class CifarSource:
    """Reads the python version where both are there."""

    location: Location
    batches: Batches
    classes: tuple[str, ...] | None

    def listing(self) -> Listing:
        tree = folder_tree(self.batches.format, self.location)
        folder, suffix = self._place(tree)
        entries: list[Entry] = []
        all_labels: list[np.ndarray] = []
        for split, batches in self.batches.splits.items():
            files = [file for name in batches if (file := join(folder, name + suffix)) in tree.files]
            if files and len(files) < len(batches):
                there = listed(map(basename, files))
                raise DataError(f"{tree.location / folder}: {split} needs {', '.join(batches)}, found only {there}.")
            for file in files:
                labels = self._batch(file)[1]
                all_labels.append(labels)
                entries += row_entries(file, labels, split=split, row_bytes=IMAGE_BYTES)
        names = self.classes or self._names(tree, folder, suffix)
        return Listing(
            annotation="label",
            classes=numbered_classes(all_labels, names, where=str(tree.location)),
            entries=entries,
        )

    def read(self, entry: Entry) -> Example:
        file, row = file_and_row(entry)
        return row_example(entry, self._batch(file)[0][row].transpose(1, 2, 0))

    def _place(self, tree: Tree) -> tuple[str, str]:
        """The folder with the files, and their suffix."""
        places = _places(tree, self.batches)
        if not places:
            first = self.batches.splits["train"][0]
            raise not_of_format(self.batches.format, tree, f"file {first} or {first}.bin")
        return places[0]

    def _batch(self, file: str) -> tuple[np.ndarray, np.ndarray]:
        try:
            return _load(self.location / file, self.batches.labels, self.batches.label_bytes, self.batches.label_byte)
        except (OSError, ValueError) as error:
            raise DataError(f"can't read {self.location / file}: {error}. Download it again.") from error

    def _names(self, tree: Tree, folder: str, suffix: str) -> tuple[str, ...] | None:
        file, key = (self.batches.binary_names, "") if suffix else self.batches.python_names
        path = join(folder, file)
        if path not in tree.files:
            return None
        if suffix:
            return tuple(tree.text(path).split())
        try:
            return tuple(map(_text, _table(tree.read(path), key)[key]))
        except ValueError as error:
            raise DataError(f"can't read {tree.location / path}: {error}. Download it again.") from error


def fits_batches(tree: Tree, batches: Batches) -> bool:
    return tree.only is None and bool(_places(tree, batches))


def _places(tree: Tree, batches: Batches) -> list[tuple[str, str]]:
    """Folders with a file of each split's names, the python version first.

    CIFAR-100's files are called train and test, so its file with the names of classes must be there, too.
    """
    first = {names[0] for names in batches.splits.values()}
    found = []
    for path in tree.files:
        name, suffix = splitext(basename(path))
        if name not in first or suffix not in ("", ".bin"):
            continue
        known = batches.binary_names if suffix else batches.python_names[0]
        folder = dirname(path)
        if (batches.format == "cifar10" or join(folder, known) in tree.files) and (folder, suffix) not in found:
            found.append((folder, suffix))
    return sorted(found, key=lambda place: (place[1], place[0]))


@lru_cache(maxsize=16)
def _load(file: Location, key: str, label_bytes: int, label_byte: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,). Kept, as rows are read one at a time: 30 MB for 10,000."""
    content = file.read_bytes()
    images, labels = _binary(content, label_bytes, label_byte) if file.name.endswith(".bin") else _python(content, key)
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != IMAGE_BYTES:
        raise ValueError(f"images must be uint8 (rows, {IMAGE_BYTES}), got {images.dtype} {images.shape}")
    if labels.dtype.kind not in "ui" or labels.shape != images.shape[:1]:
        raise ValueError(f"it has {len(images):,} images and labels {labels.dtype} {labels.shape}")
    return images.reshape(-1, 3, 32, 32), labels.astype(np.int64)


def _python(content: bytes, key: str) -> tuple[np.ndarray, np.ndarray]:
    batch = _table(content, "data", key)
    return np.asarray(batch["data"]), np.asarray(batch[key])


def _table(content: bytes, *keys: str) -> dict[str, Any]:
    """A pickled dictionary with these keys, written by Python 2 or 3."""
    table = load_pickle(content)
    if not isinstance(table, dict):
        raise ValueError(f"it holds no dictionary with {' and '.join(keys)}")
    table = {_text(name): value for name, value in table.items()}
    if missing := [key for key in keys if key not in table]:
        raise ValueError(f"it has no {missing[0]}, only {listed(table)}")
    return table


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _binary(content: bytes, label_bytes: int, label_byte: int) -> tuple[np.ndarray, np.ndarray]:
    row = label_bytes + IMAGE_BYTES
    if len(content) % row:
        raise ValueError(f"it is truncated: {len(content):,} bytes are no whole number of rows of {row:,}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, row)
    return rows[:, label_bytes:], rows[:, label_byte]
