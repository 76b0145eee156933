"""Source formats: each file reads one and yields examples, from which a data set is written."""

from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from trainyard.data.dataset import write_dataset
from trainyard.data.manifest import Manifest
from trainyard.data.writer import Example
from trainyard.errors import UsageError

FORMATS: dict[str, str] = {"digits": "trainyard.data.formats.digits"}
"""Format name to the module that reads it: imported when used, as some bring large libraries."""


class Format(Protocol):
    """A module that reads one source format.

    Reading the same source gives the same examples in the same order, whatever the machine. A source that is missing or
    isn't of this format is a DataError that names the file and the way out.
    """

    def classes(self, source: Path | None) -> tuple[str, ...]: ...

    def examples(self, source: Path | None) -> Iterator[Example]:
        """source: file or folder; None for a format that brings its data along."""


def import_dataset(name: str, destination: Path, source: Path | None = None) -> Manifest:
    """Read a source and write it as a data set. UsageError for an unknown format, DataError for what goes wrong."""
    if name not in FORMATS:
        close = get_close_matches(name, FORMATS, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known formats: {', '.join(sorted(FORMATS))}."
        raise UsageError(f"unknown data format {name}. {hint}")
    reader = cast(Format, import_module(FORMATS[name]))
    return write_dataset(destination, reader.examples(source), classes=reader.classes(source), source=name)
