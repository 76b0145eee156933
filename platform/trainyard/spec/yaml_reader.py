"""Reads a YAML file into plain values and the line of each, by ruamel.yaml's node composer, which constructs nothing.

Stricter than YAML: a key given twice, a key without a value, tags and merge keys are problems with a way out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from trainyard.errors import Problem, SpecError
from trainyard.spec.hints import close
from trainyard.spec.scalars import read_plain, show
from trainyard.spec.section import Path as SpecPath
from trainyard.spec.section import dotted
from trainyard.spec.source import Source

MAX_BYTES = 1 << 18
MAX_VALUES = 10_000
"""Values in a file once its anchors are followed: a few lines of nested anchors can stand for billions."""
MAX_DEPTH = 20

_GIVE_ONE = "Give it one ({} for a section of defaults) or remove it."


@dataclass
class Document:
    """A file as it was read.

    data: its mapping; keys are always text.
    source: the file and the line of each key and list item.
    problems: what could be read but isn't accepted.
    refused: the paths whose values are for that reason not to be judged further.
    """

    data: dict[str, Any]
    source: Source
    problems: list[Problem] = field(default_factory=list)
    refused: set[SpecPath] = field(default_factory=set)


def read_file(path: Path, kind: str) -> Document:
    """Read a job or a space. kind says which in messages.

    Raises SpecError when nothing useful can be read: no such file, not UTF-8, not YAML, no mapping.
    """
    return read_text(_decode(path, kind), str(path), kind)


def read_text(text: str, name: str, kind: str) -> Document:
    """Read the text of a file called name."""
    root = _compose(text, name)
    if root is None:
        _fail(f"{name}:1", f"the file is empty; a {kind} is a mapping of settings.")
    if not isinstance(root, MappingNode):
        _fail(_where(name, root), f"a {kind} must be a mapping of settings, got {_kind(root)}.")
    reader = _Reader(name)
    data = reader.value(root, ())
    source = Source(file=name, lines=reader.lines)
    return Document(data=data, source=source, problems=reader.problems, refused=reader.refused)


def read_value(text: str) -> Any:
    """Read one value, as given on the command line. Raises ValueError with the reason."""
    try:
        root = _compose(text, "value")
        if root is None:
            return None
        reader = _Reader("value")
        value = reader.value(root, ())
        problems = reader.problems
    except SpecError as error:
        problems = list(error.problems)
    if problems:
        raise ValueError(problems[0].message)
    return value


def _decode(path: Path, kind: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        siblings = sorted(str(file) for file in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        _fail(str(path), f"no such file.{close(str(path), siblings)}")
    except IsADirectoryError:
        _fail(str(path), f"this is a directory; give the YAML file of a {kind}.")
    except OSError as error:
        _fail(str(path), f"can't be read: {error.strerror}.")
    if len(content) > MAX_BYTES:
        _fail(str(path), f"a {kind} has at most {MAX_BYTES // 1024} KiB, and this file is larger. Is it the right one?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _fail(f"{path}:{line}", f"the file must be UTF-8, got the byte 0x{content[error.start]:02x}. Save it as UTF-8.")


def _compose(text: str, name: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False
    try:
        root: Node | None = yaml.compose(text)
        return root
    except MarkedYAMLError as error:
        line, message = _explain(error, text)
        _fail(f"{name}:{line}", message)
    except YAMLError as error:
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1
        _fail(
            f"{name}:{line}", f"the character U+{getattr(error, 'character', 0):04X} isn't allowed in YAML; remove it."
        )


class _Reader:
    """Turns nodes into plain values, noting lines and problems."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[SpecPath, int] = {}
        self.problems: list[Problem] = []
        self.refused: set[SpecPath] = set()
        self._open: list[Node] = []
        self._values = 0

    def value(self, node: Node, path: SpecPath) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            _fail(_where(self.name, node), f"more than {MAX_VALUES} values once anchors are followed; write less.")
        if any(node is parent for parent in self._open):
            _fail(_where(self.name, node), "an anchor must not contain itself.")
        if node.ctag is not None and node.ctag.handle is not None:
            tag = str(node.ctag).replace("tag:yaml.org,2002:", "!!")
            self._problem(node, f"YAML tags such as {tag} aren't read; remove it, or quote what is text.")
            self.refused.add(path)
            return None
        self._open.append(node)
        try:
            if isinstance(node, MappingNode):
                return dict(self._items(node, path))
            if isinstance(node, SequenceNode):
                return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, ScalarNode)
            return self._scalar(node, path)
        finally:
            self._open.pop()

    def _scalar(self, node: ScalarNode, path: SpecPath) -> Any:
        if node.style:
            return node.value
        if node.value == "" and path:
            # Not the node's own line: nothing is where the next thing begins.
            where = f"{self.name}:{self.lines[path]}"
            self.problems.append(Problem(where, f"{dotted(path)} has no value. {_GIVE_ONE}"))
            self.refused.add(path)
        return read_plain(node.value)

    def _item(self, node: Node, path: SpecPath) -> Any:
        self.lines[path] = _line(node)
        return self.value(node, path)

    def _items(self, node: MappingNode, path: SpecPath) -> Iterator[tuple[str, Any]]:
        first: dict[str, int] = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                self._problem(key, f"a key must be text, got {_kind(key)}.")
            elif key.value == "<<" and not key.style:
                self._problem(key, "merge keys (<<) aren't YAML 1.2; write the settings out.")
            elif key.value in first:
                again = dotted((*path, key.value))
                self._problem(key, f"{again} is given twice, first on line {first[key.value]}. Keep one.")
            elif _glued(key, item):
                name, _, rest = key.value.partition(":")
                self.refused.add((*path, name))
                remedy = f"Put a space after the colon: {name}: {rest}." if rest else _GIVE_ONE
                self._problem(key, f"{dotted((*path, name))} has no value. {remedy}")
            else:
                first[key.value] = self.lines[(*path, key.value)] = _line(key)
                yield key.value, self.value(item, (*path, key.value))

    def _problem(self, node: Node, message: str) -> None:
        self.problems.append(Problem(_where(self.name, node), message))


def _glued(key: ScalarNode, item: Node) -> bool:
    """Whether this is `c:2` or `c:` in braces, where YAML takes the colon for a part of the key."""
    empty = isinstance(item, ScalarNode) and not item.style and not item.value
    return empty and not key.style and re.fullmatch("[^:]+:[^:]*", key.value) is not None


def _explain(error: MarkedYAMLError, text: str) -> tuple[int, str]:
    """The line of a syntax error and a sentence that says what to do."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1
    problem, context = str(error.problem), str(error.context or "")
    lines = [*text.split("\n"), ""]
    content = lines[mark.line]
    start = error.context_mark.line + 1 if error.context_mark else line
    if "'\\t'" in problem:
        return line, "a tab can't be used here; indent and separate with spaces."
    if "found character" in problem:
        return line, f"a value can't start with {content[mark.column : mark.column + 1]}; quote it."
    if "another document" in problem:
        return line, "a second document starts here (---); one file holds one."
    if "undefined alias" in problem:
        return line, f"the alias {problem.split()[-1]} has no anchor; define it above with &."
    if "maximum depth" in problem:
        return line, f"nested more than {MAX_DEPTH} deep."
    if "flow" in context:
        bracket = "{" if "mapping" in context else "["
        return line, f"the {bracket} opened on line {start} isn't closed, or a comma is missing before this."
    if "quoted scalar" in context and "end of stream" in problem:
        return start, "the quote opened here isn't closed."
    if "mapping values are not allowed" in problem and content[: mark.column].count(":"):
        return line, "two colons in one line; quote text that has a colon and a space."
    if "simple key" in context:
        return start, f"expected `key: value`, got {show(lines[start - 1].strip())}."
    if "mapping values are not allowed" in problem or "block" in context:
        return line, "the indentation doesn't fit the lines above; settings of one section start in the same column."
    return line, f"not YAML: {problem}."


def _kind(node: Node) -> str:
    if isinstance(node, SequenceNode):
        return "a list"
    return "a mapping" if isinstance(node, MappingNode) else f"the value {show(node.value)}"


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _where(name: str, node: Node) -> str:
    return f"{name}:{_line(node)}"


def _fail(where: str, message: str) -> NoReturn:
    raise SpecError([Problem(where, message)])
