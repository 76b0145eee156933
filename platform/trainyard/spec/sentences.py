"""pydantic's errors as whole sentences that say the path, the rule, what was got and the way out."""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trainyard.spec.fields import kinds_at, labels, paths_of, section_at
from trainyard.spec.hints import close, listing
from trainyard.spec.scalars import number, read_plain, show, write
from trainyard.spec.section import RULES, Flaw, Path, Section, dotted, touches

S = TypeVar("S", bound=Section)
Context = dict[str, Any]

_RULES: dict[str, Callable[[Context], str]] = {
    "greater_than": lambda ctx: f"must be > {number(ctx['gt'])}",
    "greater_than_equal": lambda ctx: f"must be >= {number(ctx['ge'])}",
    "less_than": lambda ctx: f"must be < {number(ctx['lt'])}",
    "less_than_equal": lambda ctx: f"must be <= {number(ctx['le'])}",
    "finite_number": lambda ctx: "must be a finite number",
    "int_type": lambda ctx: "must be a whole number",
    "float_type": lambda ctx: "must be a number",
    "bool_type": lambda ctx: "must be true or false",
    "string_type": lambda ctx: "must be text",
    "string_too_short": lambda ctx: "must not be empty",
    "tuple_type": lambda ctx: "must be a list",
    "list_type": lambda ctx: "must be a list",
    "dict_type": lambda ctx: "must be a mapping",
    "model_type": lambda ctx: "must be a mapping of settings",
    "model_attributes_type": lambda ctx: "must be a mapping of settings",
    "too_short": lambda ctx: f"must have at least {ctx['min_length']} item{'s' * (ctx['min_length'] > 1)}",
    "too_long": lambda ctx: f"must have at most {ctx['max_length']} items",
}
_PATTERNS = {
    "name": "must be at most 63 lower-case letters, digits, '.', '_' or '-', the first a letter or digit",
    "model": "must be module:function, such as my_models.nets:build",
}
"""What a pattern asks for, by the first part of its path."""


def validate(root: type[S], data: dict[str, Any], refused: Iterable[Path] = ()) -> tuple[S | None, list[Flaw]]:
    """Build a spec from plain data, or say everything that is wrong with it.

    refused: paths already known to be wrong, about which nothing more is said.
    """
    refused = tuple(refused)
    try:
        return root.model_validate(data), []
    except ValidationError as error:
        flaws = _unrefused(_flaws(error, root, data), refused)
    # Rules over several settings are only judged once every setting is in order by itself: leave out what isn't, and
    # see whether the rest breaks a rule too.
    wrong = (*refused, *(flaw.path for flaw in flaws))
    try:
        root.model_validate(_mended(root, data, wrong))
    except ValidationError as error:
        flaws += _unrefused(_flaws(error, root, data, only_rules=True), wrong)
    return None, flaws


def _unrefused(flaws: Iterable[Flaw], refused: Iterable[Path]) -> list[Flaw]:
    wrong = tuple(refused)
    return [f for f in flaws if not any(touches(path, other) for path in (f.path, *f.involved) for other in wrong)]


def _mended(root: type[Section], data: dict[str, Any], wrong: Iterable[Path]) -> dict[str, Any]:
    """The data without what is wrong, and with an example of what may not be missing."""
    mended = data
    for path in sorted(set(wrong), key=len):
        end = next((index for index, part in enumerate(path) if isinstance(part, int)), len(path))
        *parents, last = path[:end]
        if parents and last in ("name", "type") and section_at(root, mended, tuple(parents)) is None:
            # No other setting of the section can be judged while it isn't known which of several it is.
            *parents, last = parents
        section = section_at(root, mended, tuple(parents))
        field = section.model_fields.get(str(last)) if section else None
        examples = field.examples if field and field.is_required() and field.examples else []
        mended = _replaced(mended, tuple(parents), str(last), examples[:1])
    return mended


def _replaced(data: Any, parents: Path, last: str, values: list[Any]) -> Any:
    """A copy of nested mappings with another value at one place, or with none."""
    if not isinstance(data, dict):
        return data
    if parents:
        head, *rest = parents
        return data | {head: _replaced(data.get(head, {}), tuple(rest), last, values)}
    kept = {name: item for name, item in data.items() if name != last}
    return kept | {last: values[0]} if values else kept


def _flaws(error: ValidationError, root: type[Section], data: Any, only_rules: bool = False) -> list[Flaw]:
    flaws: list[Flaw] = []
    for details in error.errors(include_url=False):
        path = _path(details["loc"], data, stated=details["type"] == RULES)
        if details["type"] == RULES:
            for flaw in details["ctx"]["flaws"]:
                involved = tuple((*path, *other) for other in flaw.involved)
                owner = f"{path[1]}: " if path[:1] == ("parameters",) else ""
                flaws.append(Flaw((*path, *flaw.path), owner + flaw.message, involved))
        elif not only_rules:
            flaws.append(Flaw(*_sentence(details, path, root, data)))
    # A list of which an item is wrong is also "too short" to pydantic.
    return [f for f in flaws if not any(len(o.path) > len(f.path) and touches(o.path, f.path) for o in flaws)]


def _path(location: Path, data: Any, *, stated: bool) -> Path:
    """pydantic's location without the names of the union members that it passed through.

    stated: whether all of it is in the data; else its end may be a key that is missing there.
    """
    path: list[str | int] = []
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list | tuple) and isinstance(part, int):
            data = data[part] if part < len(data) else None
        elif stated or not (is_last and isinstance(data, dict)):
            continue
        path.append(part)
    return tuple(path)


def _sentence(details: ErrorDetails, path: Path, root: type[Section], data: Any) -> tuple[Path, str]:
    kind, got, ctx = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        return path, _missing(path, root, data)
    if kind == "extra_forbidden":
        return path, _extra(path, root, data)
    if kind.startswith("union_tag") or (kind.startswith("model_") and len(kinds_at(root, data, path)) > 1):
        return _undecided(path, root, data, got)
    if kind == "literal_error":
        known = [text or number for text, number in re.findall(r"'([^']*)'|(\d+)", ctx["expected"])]
        return path, f"{dotted(path)} must be {listing(known)}, got {show(got)}.{close(str(got), known)}"
    if kind == "string_pattern_mismatch":
        rule = _PATTERNS[str(path[0])]
    elif kind == "model_type" and _example(path, root, data):
        rule = f"must be a mapping such as {_example(path, root, data)}"
    else:
        rule = _RULES[kind](ctx) if kind in _RULES else details["msg"]
    return path, f"{dotted(path)} {rule}, got {show(got)}.{_remedy(kind, got)}"


def _missing(path: Path, root: type[Section], data: Any) -> str:
    *parents, last = path
    if isinstance(last, int):
        return f"{dotted(tuple(parents))} is too short: item {last + 1} is missing."
    example = _example(path, root, data)
    return f"{dotted(path)} is missing. Add it{f', such as {last}: {example}' if example else ''}."


def _example(path: Path, root: type[Section], data: Any) -> str:
    section = section_at(root, data, path[:-1]) if path else None
    field = section.model_fields.get(str(path[-1])) if section else None
    return write(field.examples[0]) if field and field.examples else ""


def _extra(path: Path, root: type[Section], data: Any) -> str:
    *above, last = path
    parents = tuple(above)
    kinds = kinds_at(root, data, parents)
    section = section_at(root, data, parents)
    owners = [label for kind in kinds if last in kind.model_fields for label in labels(kind)]
    if owners and section:
        return f"{dotted(path)} is no setting of {listing(labels(section))}, only of {listing(owners, last='and')}."
    names = list(section.model_fields) if section else []
    known = [*paths_of(root), *(dotted((*parents, name)) for name in names)]
    here = f" Known here: {listing(names, last='and')}." if names else ""
    return f"unknown setting {dotted(path)}.{close(dotted(path), known) or here}"


def _undecided(path: Path, root: type[Section], data: Any, got: Any) -> tuple[Path, str]:
    """A section whose name doesn't tell which of several it is."""
    kinds = kinds_at(root, data, path)
    known = [label for kind in kinds for label in labels(kind) or ("module:function",)]
    key = "type" if "type" in kinds[0].model_fields else "name"
    written = _item(data, path)
    if not isinstance(got, dict):
        return path, f"{dotted(path)} must be a mapping such as {{{key}: {known[0]}, ...}}, got {show(got)}."
    if key not in got:
        return path, f"{dotted((*path, key))} is missing. It must be {listing(known)}."
    # A sampler may be given by its name alone.
    at = (*path, key) if isinstance(written, dict) else path
    return at, f"{dotted(at)} must be {listing(known)}, got {show(got[key])}.{close(str(got[key]), known)}"


def _item(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _remedy(kind: str, got: Any) -> str:
    if isinstance(got, str):
        meant = read_plain(got)
        if kind in ("int_type", "float_type") and isinstance(meant, int | float) and not isinstance(meant, bool):
            return " Remove the quotes."
        if kind == "bool_type" and got.lower() in ("yes", "on", "y", "no", "off", "n"):
            return f" Write {show(got.lower() in ('yes', 'on', 'y'))}."
    if kind == "string_type" and isinstance(got, bool | int | float):
        return " Put it in quotes."
    return ""
