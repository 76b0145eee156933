"""Sets of idx files, such as MNIST and its descendants.

A set is `[NAME-]SPLIT-images-idx3-ubyte` and `[NAME-]SPLIT-labels-idx1-ubyte`, with or without `.gz`, for one or more
splits; t10k is the test split. They lie in the source or anywhere below it, as in torchvision's MNIST/raw. Images are
(rows, height, width) or (rows, height, width, channels) of bytes. Labels are whole numbers from 0 on; where there are
several for each row (QMNIST) the first is the class. EMNIST's images lie on their sides, and stay so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from posixpath import basename, dirname, join

import numpy as np

from trainyard.data.formats.idx import load_idx
from trainyard.data.formats.mismatch import folder_tree, not_of_format
from trainyard.data.formats.names import listed, split_named, words
from trainyard.data.formats.rows import file_and_row, numbered_classes, row_entries, row_example
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.data.source import Entry, Example, ImportOptions, Listing
from trainyard.errors import DataError

_FOLDERS = ("raw", "gzip")
"""What torchvision and EMNIST's archive call the folder with the files: no name of a set."""


@dataclass(frozen=True, kw_only=True)
class IdxFile:
    """What the path of an idx file says. subset: the set that it belongs to, "" if it has no name."""

    path: str
    subset: str
    split: str | None
    labels: bool

    @classmethod
    def named(cls, path: str) -> "IdxFile | None":
        parts = words(basename(path).lower())
        kind = next(
            (index for index, part in enumerate(parts) if part in ("idx", "idx1", "idx2", "idx3", "idx4")), None
        )
        if kind is None:
            return None
        role = next((part for part in parts[:kind] if part in ("image", "images", "label", "labels")), parts[kind])
        split = next((part for part in parts[:kind] if split_named(part)), None)
        folder = dirname(path)
        while basename(folder).lower() in _FOLDERS:
            folder = dirname(folder)
        own_name = "-".join(part for part in parts[:kind] if part not in (role, split))
        return cls(
            path=path,
            subset=join(folder, own_name).rstrip("/"),
            split=split_named(split) if split else None,
            labels=role in ("label", "labels", "idx1", "idx2"),
        )


def open_source(location: Location, options: ImportOptions) -> "IdxSource":
    return IdxSource(folder=location, options=options)


def fits(tree: Tree) -> bool:
    return tree.only is None and any(not file.labels for file in _idx_files(tree))


@dataclass(frozen=True, kw_only=True)
class IdxSource:
    folder: Location
    options: ImportOptions

    def listing(self) -> Listing:
        tree = folder_tree("mnist", self.folder)
        if not fits(tree):
            raise not_of_format("mnist", tree, "idx files such as train-images-idx3-ubyte.gz")
        pairs = _pairs(_chosen(tree, self.options.subset), str(tree.location))
        entries: list[Entry] = []
        all_labels: list[np.ndarray] = []
        for split, (images_file, labels_file) in pairs.items():
            images, labels = self._images(images_file), self._labels(labels_file)
            if len(images) != len(labels):
                raise DataError(
                    f"{tree.location / images_file} has {len(images):,} images, {labels_file} {len(labels):,} labels. "
                    "They belong to different sets, or one is damaged: download them again."
                )
            all_labels.append(labels)
            entries += row_entries(images_file, labels, split=split, row_bytes=images[:1].nbytes)
        if not entries:
            raise DataError(f"{tree.location}: there is no image in {listed(file for file, _ in pairs.values())}.")
        classes = numbered_classes(all_labels, self.options.classes, where=str(tree.location))
        return Listing(annotation="label", classes=classes, entries=entries)

    def read(self, entry: Entry) -> Example:
        file, row = file_and_row(entry)
        return row_example(entry, load_idx(self.folder / file)[row])

    def _images(self, file: str) -> np.ndarray:
        images = self._load(file)
        grey = images.ndim == 3
        if not grey and (images.ndim != 4 or images.shape[3] not in (1, 3)):
            raise DataError(
                f"{self.folder / file}: images must be (rows, height, width) or (rows, height, width, channels), got "
                f"{images.shape}."
            )
        if images.dtype != np.uint8:
            raise DataError(
                f"{self.folder / file}: pixels must be unsigned bytes (idx type 0x08), got {images.dtype.name}. Write "
                "them again as bytes, 0 to 255."
            )
        return images

    def _labels(self, file: str) -> np.ndarray:
        labels = self._load(file)
        if labels.dtype.kind not in "ui" or labels.ndim > 2:
            raise DataError(
                f"{self.folder / file}: labels must be whole numbers, (rows,), got {labels.dtype.name} {labels.shape}."
            )
        return labels if labels.ndim == 1 else labels[:, 0]

    def _load(self, file: str) -> np.ndarray:
        try:
            return load_idx(self.folder / file)
        except (OSError, ValueError) as error:
            raise DataError(f"can't read {self.folder / file}: {error}. Download it again.") from error


def _idx_files(tree: Tree) -> Iterator[IdxFile]:
    return (file for path in tree.files if (file := IdxFile.named(path)))


def _chosen(tree: Tree, subset: str | None) -> list[IdxFile]:
    """The files of the one set that is there, or that is asked for by its name or the last word of it."""
    subsets: dict[str, list[IdxFile]] = {}
    for file in _idx_files(tree):
        subsets.setdefault(file.subset, []).append(file)
    if subset is None and len(subsets) == 1:
        return subsets.popitem()[1]
    names = listed([name or "the one without a name" for name in subsets], most=12)
    if subset is None:
        example = next(words(name)[-1] for name in subsets if name)
        raise DataError(
            f"{tree.location} holds {len(subsets)} sets of idx files: {names}. Name one: --subset {example}"
        )
    matching = [name for name in subsets if name == subset or words(subset.lower()) == _last(name, subset)]
    if len(matching) != 1:
        found = f"fits {listed(matching)}" if matching else "is not there"
        raise DataError(f"{tree.location}: the subset {subset} {found}. There are: {names}.")
    return subsets[matching[0]]


def _last(name: str, subset: str) -> list[str]:
    """As many of the last words of a set's name as the user gave."""
    return words(name.replace("/", "-").lower())[-len(words(subset)) :]


def _pairs(files: list[IdxFile], where: str) -> Mapping[str | None, tuple[str, str]]:
    """Split to its files of images and labels. Of a file and its .gz the unpacked one is read."""
    found: dict[str | None, dict[bool, str]] = {}
    for file in sorted(files, key=lambda file: not file.path.endswith(".gz")):
        found.setdefault(file.split, {})[file.labels] = file.path
    for both in found.values():
        if len(both) < 2:
            [(labels, path)] = both.items()
            raise DataError(f"{where}: {path} is there, but not its {'images' if labels else 'labels'}.")
    order = ("train", "val", "test")
    ordered = sorted(found, key=lambda split: order.index(split) if split in order else len(order))
    return {split: (found[split][False], found[split][True]) for split in ordered}
