"""A numpy archive with arrays of images and of labels, or one archive for each split.

The arrays are those with usual names (`images` and `labels`, `x_train` and `y_train`, MedMNIST's `train_images` and
`train_labels`), or that the user names. Images are whole numbers from 0 to 255, (N, H, W), (N, H, W, C) or, where that
is clear, (N, C, H, W). Labels are whole numbers from 0 on, (N,) or (N, 1). An array `classes` or `class_names` of texts
names the classes, unless the user does. Arrays of Python objects are refused: reading them would run code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from trainyard.data.formats.mismatch import not_of_format
from trainyard.data.formats.names import listed, split_within, stem, words
from trainyard.data.formats.npz_arrays import array_shapes, load_images, load_labels, load_names
from trainyard.data.formats.rows import file_and_row, numbered_classes, row_entries, row_example
from trainyard.data.formats.tree import Tree, folder_and_file
from trainyard.data.location import Location
from trainyard.data.source import Entry, Example, ImportOptions, Listing
from trainyard.errors import DataError

_IMAGES = frozenset(["images", "image", "imgs", "img", "x", "data"])
_LABELS = frozenset(["labels", "label", "y", "targets", "target"])
_NAMES = ("classes", "class_names", "label_names", "names")

_T = TypeVar("_T")


def open_source(location: Location, options: ImportOptions) -> "Npz":
    folder, only = folder_and_file(location)
    return Npz(folder=folder, only=only, options=options)


def fits(tree: Tree) -> bool:
    return bool(_archives(tree))


@dataclass(frozen=True, kw_only=True)
class Npz:
    folder: Location
    only: str | None
    options: ImportOptions

    def listing(self) -> Listing:
        tree = Tree.of(self.folder, self.only)
        archives = _archives(tree)
        if not archives:
            raise not_of_format("npz", tree, "numpy archive (.npz)")
        splits = {path: split_within(stem(path)) for path in archives}
        if len(archives) > 1 and len(set(splits.values()) - {None}) < len(archives):
            raise DataError(
                f"{tree.location}: there are several archives: {listed(archives)}. Name one as the source: "
                f"{tree.location / archives[0]}"
            )
        entries: list[Entry] = []
        all_labels: list[np.ndarray] = []
        shapes = {path: self._told(path, array_shapes, self.folder / path) for path in archives}
        for path, split in splits.items():
            for images_name, labels_name, own_split in self._pairs(path, shapes[path]):
                labels, row_bytes = self._labels(path, images_name, labels_name)
                all_labels.append(labels)
                entries += row_entries(f"{path}/{images_name}", labels, split=own_split or split, row_bytes=row_bytes)
        if not entries:
            raise DataError(f"{tree.location}: there is no image in {listed(archives)}.")
        named = (self._class_names(path, shapes[path]) for path in archives)
        names = self.options.classes or next(filter(None, named), None)
        classes = numbered_classes(all_labels, names, where=str(tree.location))
        return Listing(annotation="label", classes=classes, entries=entries)

    def read(self, entry: Entry) -> Example:
        file, row = file_and_row(entry)
        path, _, name = file.rpartition("/")
        return row_example(entry, load_images(self.folder / path, name)[row])

    def _pairs(self, path: str, shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[str, str, str | None]]:
        """Names of the arrays with images and with labels, and their split."""
        chosen = (self.options.images, self.options.label_column)
        for name in chosen:
            if name is not None and name not in shapes:
                raise DataError(f"{self.folder / path} has no array {name}. It has {_shown(shapes)}.")
        pairs = _pairs_by_name(shapes, *chosen)
        if not pairs:
            raise DataError(
                f"{self.folder / path}: it isn't clear which arrays are images and labels. It has {_shown(shapes)}. "
                "Name them: --images NAME --label-column NAME"
            )
        return pairs

    def _labels(self, path: str, images_name: str, labels_name: str) -> tuple[np.ndarray, int]:
        """The labels, and the bytes of an image."""
        images = self._told(path, load_images, self.folder / path, images_name)
        labels = self._told(path, load_labels, self.folder / path, labels_name)
        if len(images) != len(labels):
            raise DataError(
                f"{self.folder / path}: {images_name} has {len(images):,} rows, but {labels_name} has {len(labels):,}."
            )
        return labels, images[:1].nbytes

    def _class_names(self, path: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...] | None:
        name = next((name for name in _NAMES if name in shapes), None)
        return self._told(path, load_names, self.folder / path, name) if name else None

    def _told(self, path: str, load: Callable[..., _T], *arguments: Any) -> _T:
        """What can't be read is a DataError that names the file."""
        try:
            return load(*arguments)
        except (OSError, ValueError) as error:
            name = f", array {arguments[1]}" if len(arguments) > 1 else ""
            raise DataError(f"can't read {self.folder / path}{name}: {error}.") from error


def _archives(tree: Tree) -> list[str]:
    if tree.only:
        return [tree.only] if tree.only.lower().endswith(".npz") else []
    return [path for path in tree.files if path.lower().endswith(".npz")]


def _pairs_by_name(
    shapes: Mapping[str, tuple[int, ...]], images: str | None, labels: str | None
) -> list[tuple[str, str, str | None]]:
    """images, labels: what the user says. Of two arrays without usual names the one of more axes has the images."""
    by_split: dict[str | None, dict[str, str]] = {}
    for name in shapes:
        parts = set(words(name.lower()))
        role = "images" if parts & _IMAGES else "labels" if parts & _LABELS else None
        if role and (images is None or role != "images") and (labels is None or role != "labels"):
            by_split.setdefault(split_within(name), {}).setdefault(role, name)
    if images or labels:
        given = {"images": images, "labels": labels}
        split = split_within(images or labels or "")
        both = by_split.get(split, {}) | {role: name for role, name in given.items() if name}
        by_split = {split: both}
    pairs = [(both["images"], both["labels"], split) for split, both in by_split.items() if len(both) == 2]
    if not pairs and len(shapes) == 2:
        many, few = sorted(shapes, key=lambda name: -len(shapes[name]))
        if len(shapes[many]) > 2 and len(shapes[few]) < 3:
            return [(many, few, None)]
    return pairs


def _shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return listed([f"{name} {shape}" for name, shape in shapes.items()], most=20)
