"""A table of images and their classes: a CSV file, or one for each split.

The columns of paths, labels and, if there is one, of splits are those with usual names, or the ones that the user
names; of a table of two columns the one with paths of images and the other. Paths may begin at the table, at the source
or in any folder of it, and may lack their suffix. Every label is a class as it is written, numbers by their size; where
the user names classes, numbers count them from 0.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from posixpath import dirname

from trainyard.data.formats.chosen_places import chosen_place, lies_in
from trainyard.data.formats.class_folders import ordered
from trainyard.data.formats.lookup import Lookup
from trainyard.data.formats.mismatch import not_of_format
from trainyard.data.formats.names import listed, split_called, split_within, stem
from trainyard.data.formats.reading import FileSource
from trainyard.data.formats.table import Table, parse_table
from trainyard.data.formats.table_columns import TableColumns, find_columns
from trainyard.data.formats.tree import Tree, decoded, folder_and_file
from trainyard.data.location import Location
from trainyard.data.source import Entry, ImportOptions, Listing, Problem
from trainyard.errors import DataError

_ANNOTATION_FOLDERS = ("annotations", "labels")
_LOOKED_AT = 20
_BEGINNING = 1 << 16

_WHOLE = re.compile(r"-?[0-9]+(\.0)?")

MOST_SINGLE = 20
"""Images that may all be of different classes: beyond that the column is taken for one of names."""


def open_source(location: Location, options: ImportOptions) -> "CsvTable":
    folder, only = folder_and_file(location, also=_ANNOTATION_FOLDERS)
    return CsvTable(folder=folder, only=only, options=options)


def fits(tree: Tree) -> bool:
    return bool(tree.images) and any(
        _fits(content, tree) for _, content in tree.beginnings(_table_paths(tree), _BEGINNING)
    )


@dataclass(frozen=True, kw_only=True)
class CsvTable(FileSource):
    only: str | None

    def listing(self) -> Listing:
        tree = Tree.of(self.folder, self.only)
        where = chosen_place(tree, self.options.images, "--images") or ""
        lookup = Lookup.of(path for path in tree.images if lies_in(path, where))
        rows, problems = [], []
        for path, (table, columns) in self._tables(tree, lookup).items():
            found, missing = _rows(path, table, columns, lookup)
            rows += found
            problems += missing
        kept, doubled = _once(rows)
        if not kept:
            raise DataError(
                f"{tree.location}: the tables name no image that is there and has one label. {problems[0].reason}."
            )
        classes, labels, unknown = _labels([row.label for row in kept], self.options.classes, str(tree.location))
        entries = [
            Entry(name=row.image, split=row.split, label=label, source_bytes=tree.files[row.image])
            for row, label in zip(kept, labels, strict=True)
            if label is not None
        ]
        return Listing(
            annotation="label",
            classes=classes,
            entries=entries,
            problems=[*problems, *doubled, *unknown],
            ignored=len(tree.files) - len(entries),
        )

    def _tables(self, tree: Tree, lookup: Lookup) -> dict[str, tuple[Table, TableColumns]]:
        """The table, or those of all splits. DataError if there is none, or if it isn't clear which one is meant."""
        paths = _table_paths(tree)
        if not paths:
            raise not_of_format("csv", tree, "table (.csv or .tsv)")
        tables, reasons = {}, []
        for path in paths:
            try:
                table = parse_table(tree.text(path))
                tables[path] = (table, find_columns(table, lookup, self.options))
            except ValueError as error:
                reasons.append(f"{tree.location / path}: {error}.")
        if not tables:
            raise DataError(" ".join(reasons[:3]))
        if len(tables) > 1 and (len({split_within(stem(path)) for path in tables} - {None}) < len(tables)):
            raise DataError(
                f"{tree.location}: there are several tables of images and labels: {listed(tables)}. Name one as the "
                f"source: {tree.location / next(iter(tables))}"
            )
        return tables


@dataclass(frozen=True, kw_only=True)
class _Row:
    image: str
    label: str
    split: str | None


def _table_paths(tree: Tree) -> list[str]:
    if tree.only:
        return [tree.only]
    return [path for path in tree.files if path.lower().endswith((".csv", ".tsv"))][:_LOOKED_AT]


def why_not(tree: Tree) -> str | None:
    """What is wrong with the first table of a source that it doesn't fit."""
    faults = ((path, _fault(content, tree)) for path, content in tree.beginnings(_table_paths(tree)[:1], _BEGINNING))
    return next((f"{path} (csv): {fault}" for path, fault in faults if fault), None)


def _fits(content: bytes, tree: Tree) -> bool:
    return _fault(content, tree) is None


def _fault(content: bytes, tree: Tree) -> str | None:
    """Why the beginning of a table doesn't do. Where it isn't the whole table its last line may be cut off."""
    text = decoded(content)
    if len(content) >= _BEGINNING:
        text = text.rpartition("\n")[0]
    try:
        find_columns(parse_table(text), tree.lookup, ImportOptions())
    except ValueError as error:
        return str(error)
    return None


def _rows(path: str, table: Table, columns: TableColumns, lookup: Lookup) -> tuple[list[_Row], list[Problem]]:
    file_split = split_within(stem(path))
    splits: Sequence[str | None] = table.column(columns.split) if columns.split else [file_split] * len(table.rows)
    rows, problems = [], []
    for written, label, split in zip(table.column(columns.path), table.column(columns.label), splits, strict=True):
        reason = "its label is missing" if not label else "its split is missing" if split == "" else None
        try:
            image = lookup.find(written, near=dirname(path))
            reason = reason or (None if image else f"{path} names it, but it is not there")
        except ValueError as error:
            image, reason = None, str(error)
        if image is None or reason:
            problems.append(Problem(file=image or written or path, reason=reason or "", kind="incomplete row"))
        else:
            own = (split_within(split) or split_called(split)) if split else None
            rows.append(_Row(image=image, label=label, split=own))
    return rows, problems


def _once(rows: Iterable[_Row]) -> tuple[list[_Row], list[Problem]]:
    """Each image once, and none that has several labels."""
    by_image: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        by_image[row.image].append(row)
    kept, problems = [], []
    for image, same in by_image.items():
        labels = list(dict.fromkeys(row.label for row in same))
        if len(labels) > 1:
            reason = f"it has several labels: {listed(labels)}"
            problems.append(Problem(file=image, reason=reason, kind="several labels"))
            continue
        kept.append(same[0])
        if len(same) > 1:
            reason = f"it is listed {len(same)} times: the first counts"
            problems.append(Problem(file=image, reason=reason, outcome="kept", kind="listed twice"))
    return kept, problems


def _labels(
    labels: Sequence[str], classes: tuple[str, ...] | None, where: str
) -> tuple[tuple[str, ...], list[int | None], list[Problem]]:
    """The classes, the index of each label (None if it is no class), and the labels that aren't."""
    if all(_WHOLE.fullmatch(label) for label in labels):
        # Spreadsheets write 1 as 1.0 where a cell of the column is empty. Zeros in front (007) are part of a name.
        labels = [label.removesuffix(".0") for label in labels]
        if classes and not set(labels) & set(classes):
            labels = [classes[int(label)] if 0 <= int(label) < len(classes) else label for label in labels]
    elif classes is None and len(labels) > MOST_SINGLE and len(set(labels)) == len(labels):
        raise DataError(
            f"{where}: every image has a label of its own, such as {listed(labels, 3)}. Name the column of "
            "the classes: --label-column NAME"
        )
    names = classes or ordered(labels)
    indexes = {name: index for index, name in enumerate(names)}
    problems = []
    for label, count in sorted(Counter(label for label in labels if label not in indexes).items()):
        images = "1 image has" if count == 1 else f"{count:,} images have"
        reason = f"{images} the label {label}, none of the classes"
        problems.append(Problem(file=where, reason=reason, kind="unknown class"))
    return names, [indexes.get(label) for label in labels], problems
