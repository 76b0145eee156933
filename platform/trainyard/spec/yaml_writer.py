"""Writes a spec as YAML that people can edit: sections as blocks, what is inside their settings on one line."""

from collections.abc import Iterator
from typing import Any

from trainyard.spec.scalars import write


def to_yaml(data: dict[str, Any]) -> str:
    """Plain data as YAML; reading it gives equal data back."""
    return "".join(f"{line}\n" for line in _lines(data))


def _lines(data: dict[str, Any]) -> Iterator[str]:
    for name, value in data.items():
        if isinstance(value, dict) and value:
            yield f"{write(name)}:"
            yield from (f"  {write(inner)}: {write(item)}" for inner, item in value.items())
        else:
            yield f"{write(name)}: {write(value)}"
