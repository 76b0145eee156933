"""Files that say which classes there are: `classes.json` and its many relatives, lists of names, tables of colours.

Read are, by their names in the source or as the user names one:

- JSON: names; objects with a name and, as they like, an id and a colour; `{"sky": 0}`, `{"0": "sky"}`,
  `{"sky": [128, 128, 128]}`; any of them below `classes`, `labels` or `categories`, with `ignore_index` beside;
- text and tables: a name on each line, with its id or its colour before or behind (`3 road`, `road: 3`,
  `road 128 64 128`, CVAT's `road:128,64,128::`), with or without a line that names the columns.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import join
from typing import Any

from trainyard.data.formats.class_lines import ClassLine, Colour, lines_of_json, lines_of_text, numbered
from trainyard.data.formats.tree import Tree, decoded
from trainyard.errors import DataError, UsageError

FILE_NAMES = (
    "classes.json", "class_names.json", "categories.json", "id2label.json", "class_dict.json",
    "palette.json", "classes.txt", "class_names.txt", "codes.txt", "labelmap.txt", "label_map.txt", "labels.txt",
    "label_colors.txt", "label_colours.txt", "_classes.csv", "classes.csv", "class_dict.csv", "class_dict_seg.csv",
)  # fmt: skip
"""The first one that is there is read."""


@dataclass(frozen=True, kw_only=True)
class ClassList:
    """Classes in the order of their indexes.

    values, colours: of each class in masks, where the file says so. void: values and colours that belong to no class.
    """

    names: tuple[str, ...]
    values: tuple[int, ...] | None = None
    colours: tuple[Colour, ...] | None = None
    void: tuple[int | Colour, ...] = ()


def class_options(text: str) -> dict[str, Any]:
    """What --classes says, as fields of ImportOptions: names with commas between them, or the path of a file.

    UsageError for names that are empty or stand there twice, DataError for a file that is missing or unreadable.
    """
    from trainyard.data.location import Location

    if not text.lower().endswith((".json", ".txt", ".csv")):
        return {"classes": _names(text)}
    try:
        content = Location.of(text).read_bytes()
    except OSError as error:
        raise DataError(f"can't read the classes in {text}: {error.strerror or error}.") from error
    found = parse_classes(content, text)
    return {
        "classes": found.names,
        "class_values": found.values,
        "class_colours": found.colours,
        "void": found.void or None,
    }


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if "" in names:
        wrong = "a name is empty"
    elif twice is not None:
        wrong = f"{twice} stands there twice"
    else:
        return names
    raise UsageError(
        f"--classes takes different names with commas between them, got {text!r}: {wrong}. Write: --classes road,car"
    )


def find_class_list(tree: Tree, folder: str = "") -> ClassList | None:
    """The classes file of a source, directly in its folder. DataError if it is there and can't be understood."""
    for name in FILE_NAMES:
        path = join(folder, name)
        if path in tree.files:
            return parse_classes(tree.read(path), str(tree.location / path))
    return None


def parse_classes(content: bytes, where: str) -> ClassList:
    """where: of the file, for errors; its suffix says how to read it."""
    text = decoded(content)
    try:
        lines = lines_of_json(text) if where.lower().endswith(".json") else list(lines_of_text(text))
        return _class_list(lines)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"can't read the classes in {where}: {error}. Write one name on each line of a classes.txt, or name them: "
            "--classes road,car,tree"
        ) from error


def _class_list(lines: Sequence[ClassLine]) -> ClassList:
    """Ordered by number; where there are none, the place in the file is what masks hold."""
    # labelme's lists begin with it, and count from -1 on.
    lines = [line for line in lines if line.name != "__ignore__"]
    kept = sorted((line for line in numbered(lines) if not line.ignored), key=lambda line: line.number or 0)
    if not kept:
        raise ValueError("it names no class")
    names = [line.name for line in kept]
    if doubled := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{doubled[0]} stands there twice")
    values = tuple(line.number or 0 for line in kept)
    colours = tuple(line.colour for line in kept if line.colour is not None)
    ignored = [line for line in numbered(lines) if line.ignored]
    return ClassList(
        names=tuple(names),
        values=None if values == tuple(range(len(kept))) else values,
        colours=colours if len(colours) == len(kept) else None,
        void=tuple(value for line in ignored for value in (line.number, line.colour) if value is not None),
    )
