"""What every declared thing is made of: frozen, strict sections, and rules that span several of their fields."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

Path = tuple[str | int, ...]
"""Where something stands in a spec: the keys (and indexes of lists) that lead to it."""

RULES = "rules"
"""The pydantic error type that carries flaws."""


@dataclass(frozen=True)
class Flaw:
    """Something wrong with a spec, before it is known in which file and line.

    path: where it stands, relative to the section that found it.
    message: a whole sentence.
    involved: the other paths that the rule looked at; it is not judged while one of them is wrong itself.
    """

    path: Path
    message: str
    involved: tuple[Path, ...] = ()


def refuse(flaws: Iterable[Flaw]) -> None:
    """Raise the flaws, if there are any, from within a pydantic validator."""
    found = tuple(flaws)
    if found:
        raise PydanticCustomError(RULES, "{flaws}", {"flaws": found})


class Section(BaseModel):
    """A frozen group of settings.

    Unknown fields are refused and nothing is coerced: `true` is no 1, `"3"` is no 3, 2.5 is no whole number, and NaN
    and infinity are no settings. Only a whole number becomes a float where one is asked for, and a list a tuple.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


def dotted(path: Path) -> str:
    """A path as people write it: `training.epochs`, `model.channels[0]`; in a space `low of optimizer.lr`."""
    if path[:1] == ("parameters",) and len(path) > 1:
        return f"{dotted(path[2:])} of {path[1]}" if len(path) > 2 else str(path[1])
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def touches(one: Path, other: Path) -> bool:
    """Whether one of two paths leads to the other, or both are the same."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def plain(value: Any) -> Any:
    """Sections, tuples and the rest as what YAML and JSON hold. Fields that are None or empty mappings are left out."""
    if isinstance(value, Section):
        fields = {name: plain(getattr(value, name)) for name in type(value).model_fields}
        stated = {name: item for name, item in fields.items() if item is not None and item != {}}
        return stated | {name: plain(item) for name, item in (value.model_extra or {}).items()}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def stated(value: Any) -> Any:
    """The same of what was stated only: sections without their defaults. Nothing that was stated is left out."""
    if isinstance(value, Section):
        fields = {name: getattr(value, name) for name in type(value).model_fields if name in value.model_fields_set}
        return {name: stated(item) for name, item in (fields | (value.model_extra or {})).items()}
    if isinstance(value, list | tuple):
        return [stated(item) for item in value]
    return plain(value)


def flatten(data: dict[str, Any]) -> dict[str, Any]:
    """`{"optimizer": {"lr": 0.1}}` as `{"optimizer.lr": 0.1}`; lists stay as they are."""
    flat: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{rest}": item for rest, item in flatten(value).items()})
        else:
            flat[name] = value
    return flat
