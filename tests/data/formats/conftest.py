"""Small sources, laid out in a folder and listed."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainyard.data.formats import open_source
from trainyard.data.location import Location
from trainyard.data.source import Example, ImportOptions, Listing

Lay = Callable[[Mapping[str, Any]], Path]
List = Callable[..., Listing]
Read = Callable[..., Example]


@pytest.fixture
def lay(tmp_path: Path, encode: Callable[..., bytes]) -> Lay:
    """Files by their paths: None is a small image, an array one of these pixels, bytes and text stand as they are,
    lists and dictionaries become JSON."""

    def lay(files: Mapping[str, Any]) -> Path:
        root = tmp_path / "source"
        for number, (path, content) in enumerate(files.items()):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_bytes(path, content, number, encode))
        return root

    return lay


@pytest.fixture
def listing() -> List:
    def listing(name: str, place: Path | None, **options: Any) -> Listing:
        return open_source(name, Location.of(place) if place else None, ImportOptions(**options)).listing()

    return listing


@pytest.fixture
def read() -> Read:
    """The row of a source that has a name, or the first one."""

    def read(format_name: str, place: Path, name: str | None = None, **options: Any) -> Example:
        source = open_source(format_name, Location.of(place), ImportOptions(**options))
        entry = next(entry for entry in source.listing().entries if name in (None, entry.name))
        return source.read(replace(entry, split=entry.split or "train"))

    return read


@pytest.fixture
def splits() -> Callable[[Listing], dict[str | None, int]]:
    """Rows of each split."""
    return lambda listing: dict(Counter(entry.split for entry in listing.entries))


@pytest.fixture
def labels() -> Callable[[Listing], dict[str, str]]:
    """Path to the name of its class."""
    return lambda listing: {entry.name: listing.classes[entry.label] for entry in listing.entries}


@pytest.fixture
def complaints() -> Callable[[Listing], list[str]]:
    return lambda listing: [f"{problem.file}: {problem.reason} ({problem.outcome})" for problem in listing.problems]


def _bytes(path: str, content: Any, number: int, encode: Callable[..., bytes]) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, list | dict):
        return json.dumps(content).encode()
    pixels = np.full((4, 6, 3), number % 256, np.uint8) if content is None else content
    suffix = Path(path).suffix.lower().removeprefix(".")
    return encode(pixels, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
