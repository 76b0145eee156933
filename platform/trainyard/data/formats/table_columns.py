"""Which columns of a table hold paths, labels and splits. A pure function of the table and of the images there."""

import re
from dataclasses import dataclass

from trainyard.data.formats.lookup import Lookup
from trainyard.data.formats.names import listed, split_within
from trainyard.data.formats.table import Table
from trainyard.data.source import ImportOptions

PATHS = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_name", "image_id",
    "image_file", "img", "img_path", "filenames", "images", "name", "id",
)  # fmt: skip
LABELS = (
    ("label", "labels", "class", "classes", "class_name", "classname", "category", "target"),
    ("name", "y", "class_id", "category_name", "label_name", "species"),
)
"""Small letters. Those of the second group count where there is none of the first."""

SPLITS = ("split", "set", "subset", "partition", "dataset", "phase", "usage")

SAMPLED = 50
"""Rows of which is seen whether a column names images."""


@dataclass(frozen=True, kw_only=True)
class TableColumns:
    path: str
    label: str
    split: str | None


def find_columns(table: Table, lookup: Lookup, options: ImportOptions) -> TableColumns:
    """ValueError, which lists the columns and says how to name one, where it isn't clear."""
    for name, flag in ((options.path_column, "path"), (options.label_column, "label"), (options.split_column, "split")):
        if name is not None and name not in table.columns:
            raise ValueError(f"it has no column {name} (--{flag}-column). {_columns(table)}")
    if {"xmin", "ymin"} <= {_plain(name) for name in table.columns}:
        raise ValueError(
            "it has boxes (xmin, ymin, ...); boxes are read from pascal_voc and coco, tables have one label per image"
        )
    if len(table.columns) == 1 and len(table.columns[0].split()) > 1:
        raise ValueError("it has one column only. Separate its cells by commas, semicolons, tabs or |, not by blanks")
    path = options.path_column or _path_column(table, lookup)
    split = options.split_column or _split_column(table, path)
    return TableColumns(path=path, label=options.label_column or _label_column(table, path, split), split=split)


def _path_column(table: Table, lookup: Lookup) -> str:
    """The one that names images: of those with usual names, or else of all."""
    usual = [name for known in PATHS for name in table.columns if _plain(name) == known]
    for candidates in (usual, table.columns):
        best = max(candidates, key=lambda name: _images_named(table, name, lookup), default=None)
        if best is not None and _images_named(table, best, lookup):
            return best
    if len(usual) == 1:
        raise ValueError(
            f"no image of its column {usual[0]} is there, such as {listed(table.column(usual[0]), 1)}. Name as the "
            "source a folder that holds both, the table and the images"
        )
    raise ValueError(f"none of its columns names images that are there. {_columns(table)} Name one: --path-column NAME")


def _images_named(table: Table, column: str, lookup: Lookup) -> int:
    return sum(_is_there(value, lookup) for value in table.column(column)[:SAMPLED])


def _is_there(value: str, lookup: Lookup) -> bool:
    try:
        return lookup.find(value) is not None
    except ValueError:
        return True


def _label_column(table: Table, path: str, split: str | None) -> str:
    others = [name for name in table.columns if name not in (path, split)]
    for group in LABELS:
        usual = [name for name in others if _plain(name) in group]
        if len(usual) > 1:
            raise ValueError(f"its labels may be in {' or '.join(usual)}. Name the column: --label-column {usual[0]}")
        if usual:
            return usual[0]
    if len(others) == 1:
        return others[0]
    raise ValueError(f"it isn't clear which column has the labels. {_columns(table)} Name one: --label-column NAME")


def _split_column(table: Table, path: str) -> str | None:
    """One with a usual name, if whatever stands there is a split."""
    for name in table.columns:
        if name != path and _plain(name) in SPLITS:
            values = {value for value in table.column(name) if value}
            if values and all(map(split_within, values)):
                return name
    return None


def _columns(table: Table) -> str:
    return f"Its columns are {listed(table.columns, 20)}."


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())
