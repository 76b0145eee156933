"""Which paths a spec has, read off its sections: to set a value by its path, and to tell what an unknown one means."""

from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from trainyard.spec.hints import close, listing
from trainyard.spec.scalars import write
from trainyard.spec.section import Flaw, Path, Section, flatten, stated

Kinds = tuple[type[Section], ...]


def kinds_in(annotation: Any) -> Kinds:
    """The sections a field may hold: none for a plain value, several where the section's name chooses one."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return (annotation,)
    if get_origin(annotation) is Annotated:
        return kinds_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for option in get_args(annotation) for kind in kinds_in(option))
    return ()


def labels(kind: type[Section]) -> tuple[str, ...]:
    """What a section's `name` or `type` must be; nothing for the user's own model, which has a name of its own."""
    for key in ("name", "type"):
        annotation = kind.model_fields[key].annotation if key in kind.model_fields else None
        if get_origin(annotation) is Literal:
            return get_args(annotation)
    return ()


def chosen(kinds: Kinds, data: Any) -> type[Section] | None:
    """The one of several sections that the data is, if its name tells."""
    if len(kinds) == 1:
        return kinds[0]
    name = data.get("name", data.get("type")) if isinstance(data, dict) else None
    named = [kind for kind in kinds if name in labels(kind)]
    own = [kind for kind in kinds if not labels(kind) and isinstance(name, str) and ":" in name]
    return next(iter(named + own), None)


def kinds_at(root: type[Section], data: Any, path: Path) -> Kinds:
    """The sections that may stand at a path of the data."""
    annotation: Any = root
    for part in path:
        kind = chosen(kinds_in(annotation), data)
        if kind is not None:
            annotation = kind.model_fields[str(part)].annotation if part in kind.model_fields else None
        else:
            annotation = get_args(annotation)[1] if get_origin(annotation) is dict else None
        data = data.get(part) if isinstance(data, dict) else None
    return kinds_in(annotation)


def section_at(root: type[Section], data: Any, path: Path) -> type[Section] | None:
    """The section that stands at a path of the data, if its name tells."""
    kinds = kinds_at(root, data, path)
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return chosen(kinds, data)


def takes_only_whole_numbers(root: type[Section], path: str) -> bool:
    """Whether a number at a path is a whole one, whichever sections are chosen on the way."""
    annotations: list[Any] = [root]
    for part in path.split("."):
        kinds = [kind for annotation in annotations for kind in kinds_in(annotation)]
        annotations = [kind.model_fields[part].annotation for kind in kinds if part in kind.model_fields]
    types = {option for annotation in annotations for option in (get_args(annotation) or (annotation,))}
    return types & {int, float} == {int}


def paths_of(kind: type[Section], prefix: str = "") -> Iterator[str]:
    """Every path that a section can have, its sections among them, whichever of them are chosen."""
    for name, field in kind.model_fields.items():
        yield prefix + name
        for inner in kinds_in(field.annotation):
            yield from paths_of(inner, f"{prefix}{name}.")


def put(root: type[Section], data: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path of the data, in place; the value itself is judged later, with everything else.

    A changed `name` of an optimizer, a schedule or a model keeps the settings that both have and drops the others.
    Raises LookupError with a sentence when the spec has no such path.
    """
    *sections, last = path.split(".")
    kinds: Kinds = (root,)
    place = data
    for depth, part in enumerate(sections):
        kind = chosen(kinds, place)
        field = kind.model_fields.get(part) if kind else None
        kinds = kinds_in(field.annotation) if field else ()
        if field and kinds and place.get(part) is None:
            if not field.is_required() and field.default is None:
                raise LookupError(_absent(root, data, path, ".".join(sections[: depth + 1]), kinds[0]))
            place[part] = {} if field.is_required() else stated(field.default)
        if isinstance(place.get(part), str) and len(kinds) > 1:
            place[part] = {"name": place[part]}
        if not isinstance(place.get(part), dict):
            raise LookupError(unknown(root, data, path))
        place = place[part]
    _put_here(kinds, place, last, value, lambda: unknown(root, data, path))


def put_all(root: type[Section], data: dict[str, Any], values: Mapping[str, Any]) -> list[Flaw]:
    """Set values by dotted path, in place, names first: they decide which other settings there are."""
    flaws: list[Flaw] = []
    for path in sorted(values, key=lambda path: not path.endswith(".name")):
        try:
            put(root, data, path, values[path])
        except LookupError as error:
            flaws.append(Flaw(tuple(path.split(".")), str(error.args[0])))
    return flaws


def _put_here(kinds: Kinds, place: dict[str, Any], last: str, value: Any, unknown: Callable[[], str]) -> None:
    old = chosen(kinds, place)
    if len(kinds) > 1 and last == "name":
        new = chosen(kinds, {"name": value})
        if old is not new and new is not None:
            for name in [name for name in place if name not in new.model_fields]:
                del place[name]
    else:
        # A model of the user's own has what the job gives it, and nothing of the known architectures.
        known = kinds if old is None or labels(old) else (old,)
        if last not in place and not any(last in kind.model_fields for kind in known):
            raise LookupError(unknown())
    place[last] = value


def unknown(root: type[Section], data: dict[str, Any], path: str) -> str:
    """A sentence that says that a path is unknown, and which one may be meant or which ones there are."""
    owner = f" in {root.__name__.lower()} {data['name']}" if isinstance(data.get("name"), str) else ""
    place, section = "", data
    for part in path.split("."):
        if not isinstance(section.get(part), dict):
            break
        place, section = f"{place}.{part}".removeprefix("."), section[part]
    kind = section_at(root, data, tuple(place.split(".")) if place else ())
    known = {*paths_of(root), *flatten(data)} - {path}
    if kind and kind.model_config.get("extra") == "allow":  # a model of the user's own has no setting of the others
        known = {other for other in known if not other.startswith(f"{place}.") or other in flatten(data)}
    hint = close(path, known)
    names = dict.fromkeys([*(kind.model_fields if kind else ()), *section])
    there = f" {place or f'A {root.__name__.lower()}'} has {listing(names, last='and')}."
    return f"unknown path {path}{owner}.{hint or there}"


def _absent(root: type[Section], data: dict[str, Any], path: str, name: str, kind: type[Section]) -> str:
    if path not in paths_of(root):
        return unknown(root, data, path)
    required = {field: info.examples for field, info in kind.model_fields.items() if info.is_required()}
    needed = {field: examples[0] for field, examples in required.items() if examples}
    off = {field: 0.0 for field in ("weight", "p") if field in kind.model_fields}
    example = write({name.rpartition(".")[2]: needed | off})[1:-1]
    return f"{name} isn't in the job, so {path} is unknown. Add {example} to be able to set it."
