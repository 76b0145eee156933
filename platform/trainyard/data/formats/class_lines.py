"""One line, or one item, of a file that says which classes there are."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

VOID_NAMES = frozenset(["void", "ignore", "ignored", "unlabelled", "unlabeled", "__ignore__"])
"""A class of such a name is none: its pixels count nowhere."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class ClassLine:
    """What a file says of one class. number: its value in masks of one channel. ignored: it is no class."""

    name: str
    number: int | None = None
    colour: Colour | None = None
    ignored: bool = False


def lines_of_json(text: str) -> list[ClassLine]:
    content = json.loads(text)
    ignored: list[Any] = []
    if isinstance(content, dict):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), list | dict)), None)
        # Without a list of its own for the classes, `void` is a class among others.
        for key in ("ignore_index", "ignore_value", "ignore_label", *(("ignore", "void") if inner else ())):
            value = content.pop(key, [])
            ignored += value if isinstance(value, list) else [value]
        content = content if inner is None else inner
    if not isinstance(content, list | dict):
        raise ValueError("it holds neither a list nor a table of classes")
    lines = [_from_item(item) for item in content] if isinstance(content, list) else list(_from_mapping(content))
    known = {value for line in numbered(lines) for value in (line.number, line.name)}
    lines = [replace(line, ignored=True) if {line.number, line.name} & {*ignored} else line for line in numbered(lines)]
    more = [value for value in ignored if isinstance(value, int) and value not in known]
    return [*lines, *(ClassLine(name=f"value {value}", number=value, ignored=True) for value in more)]


_WRAPPERS = ("classes", "labels", "categories", "names", "id2label")


def _from_item(item: Any) -> ClassLine:
    if isinstance(item, str):
        return _line(item)
    if not isinstance(item, dict):
        raise ValueError(f"a class must be a name or an object with a name, got {item!r}")
    name = _first(item, "name", "label", "class", "class_name", "title")
    number = _first(item, "id", "index", "value", "class_id")
    colour = _first(item, "rgb", "color", "colour", "hex")
    if not isinstance(name, str) or (number is not None and not isinstance(number, int)):
        raise ValueError(f"a class must have a name and may have a whole number as id, got {item!r}")
    line = _line(name, number, None if colour is None else _colour(colour))
    return replace(line, ignored=True) if item.get("ignore") is True else line


def _from_mapping(content: Mapping[str, Any]) -> Iterator[ClassLine]:
    for key, value in content.items():
        if isinstance(value, bool):
            raise ValueError(f"{key} is {value}")
        if isinstance(value, int):
            yield _line(key, value)
        elif isinstance(value, str) and key.isdecimal():
            yield _line(value, int(key))
        elif isinstance(value, list | str):
            yield _line(key, None, _colour(value))
        else:
            raise ValueError(f"{key} must have a number, a name or a colour, got {value!r}")


def _first(item: Mapping[str, Any], *keys: str) -> Any:
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _colour(value: Any) -> Colour:
    """From [128, 64, 128], with or without opacity, or #804080."""
    if isinstance(value, str) and re.fullmatch(r"#?[0-9a-fA-F]{6}", value):
        value = list(bytes.fromhex(value.removeprefix("#")))
    if not isinstance(value, list) or len(value) not in (3, 4) or not all(_is_byte(part) for part in value):
        raise ValueError(f"a colour must be three numbers from 0 to 255 or like #804080, got {value!r}")
    return value[0], value[1], value[2]


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _line(name: str, number: int | None = None, colour: Colour | None = None) -> ClassLine:
    name = name.strip()
    return ClassLine(name=name, number=number, colour=colour, ignored=name.lower() in VOID_NAMES)


def lines_of_text(text: str) -> Iterator[ClassLine]:
    rows = [_fields(line) for line in text.splitlines() if line.strip() and not re.match(r"#(?![0-9a-fA-F]{6})", line)]
    if len(rows) > 1 and _is_heading(rows[0], rows[1]):
        rows = rows[1:]
    for fields in rows:
        place = next((place for place, field in enumerate(fields) if not field.isdecimal()), None)
        if place is None:
            if len(fields) != 1:
                raise ValueError(f"a line without a name: {', '.join(fields)}")
            yield _line(fields[0])
            continue
        before = [int(field) for field in fields[:place]]
        behind = [int(field) for field in fields[place + 1 :] if field.isdecimal()]
        hexadecimal = [_colour(field) for field in fields if re.fullmatch(r"#[0-9a-fA-F]{6}", field)]
        numbers = [part[0] for part in (before, behind) if len(part) == 1]
        colours = [_colour(part) for part in (before, behind) if len(part) == 3] + hexadecimal
        if len(numbers) > 1 or len(colours) > 1 or {len(before), len(behind)} - {0, 1, 3}:
            raise ValueError(f"a line with a name and an id or a colour was expected, got {', '.join(fields)}")
        yield _line(fields[place], numbers[0] if numbers else None, colours[0] if colours else None)


def _is_heading(first: list[str], second: list[str]) -> bool:
    words = {"name", "names", "class", "classes", "label", "labels", "class_name"}
    has_numbers = [any(field.isdecimal() or field.startswith("#") for field in fields) for fields in (first, second)]
    return has_numbers == [False, True] or (len(first) == 1 and first[0].lower() in words)


def _fields(line: str) -> list[str]:
    """At commas, semicolons, colons and tabs; blanks separate numbers only, as names may have some."""
    numbers = r"\d+(?:\s+\d+)*"
    found: list[str] = []
    for part in re.split(r"[,;:\t]", line):
        part = part.strip().strip('"')
        match = re.fullmatch(rf"(?:({numbers})\s+)?(.*?\D.*?)(?:\s+(\d+\s+\d+\s+\d+))?|({numbers})", part)
        for group in match.groups() if match else ():
            if group:
                found += group.split() if re.fullmatch(numbers, group) else [group]
    return found


def numbered(lines: Sequence[ClassLine]) -> list[ClassLine]:
    without = [line for line in lines if line.number is None]
    if not without:
        return list(lines)
    if len(without) < len(lines):
        raise ValueError(f"some classes have a number, {without[0].name} has none")
    return [replace(line, number=place) for place, line in enumerate(lines)]
