"""A source whose files and listing a test writes by hand, and importing it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainyard.data.importing.report import Report, read_report
from trainyard.data.importing.run import import_source
from trainyard.data.importing.splitting import SplitRule
from trainyard.data.importing.workers import in_process
from trainyard.data.location import Location
from trainyard.data.manifest import Annotation, Manifest
from trainyard.data.source import Boxes, Entry, Example, Listing, MaskCoding


def boxes(*corners: Sequence[float], labels: Sequence[int] | None = None) -> Boxes:
    return Boxes(
        corners=np.array(corners, np.float64).reshape(-1, 4),
        labels=np.array([0] * len(corners) if labels is None else labels, np.int64),
        crowd=np.zeros(len(corners), np.bool_),
    )


@dataclass
class Files:
    """A source of files. `was_read` are the names of the entries that were."""

    folder: Path
    encode: Callable[..., bytes]
    annotation: Annotation = "label"
    classes: tuple[str, ...] = ("cat", "dog")
    coding: MaskCoding | None = None
    entries: list[Entry] = field(default_factory=list)
    was_read: list[str] = field(default_factory=list)

    def add(self, name: str, content: bytes | None = None, *, mask: bytes | None = None, **entry: Any) -> None:
        """Without content: an image like no other, grey, 4 x 6 pixels. mask: its bytes, `masks/NAME`."""
        if content is None:
            content = self.encode(np.full((4, 6), len(self.entries), np.uint8))
        if mask is not None:
            entry["mask"] = f"masks/{name}"
            self._write(entry["mask"], mask)
        self._write(name, content)
        if self.annotation == "label":
            entry.setdefault("label", 0)
        self.entries.append(Entry(name=name, source_bytes=len(content), **entry))

    def _write(self, name: str, content: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)

    def listing(self) -> Listing:
        return Listing(annotation=self.annotation, classes=self.classes, entries=self.entries, mask_coding=self.coding)

    def read(self, entry: Entry) -> Example:
        assert entry.split is not None
        self.was_read.append(entry.name)
        return Example(
            name=entry.name,
            split=entry.split,
            image=(self.folder / entry.name).read_bytes(),
            label=entry.label,
            mask=None if entry.mask is None else (self.folder / entry.mask).read_bytes(),
            boxes=entry.boxes,
        )


@dataclass
class Imports:
    """Imports into `destination`, in this process and without making splits unless a test says otherwise."""

    destination: Path

    def __call__(self, source: Any, **settings: Any) -> Manifest:
        settings = {"format_name": "tests", "run": in_process, "splits": SplitRule(val=0, test=0), **settings}
        return import_source(source, Location.of(self.destination), **settings)

    @property
    def report(self) -> Report:
        return read_report(Location.of(self.destination))


@pytest.fixture
def files(tmp_path: Path, encode: Callable[..., bytes]) -> Files:
    return Files(tmp_path / "source", encode)


@pytest.fixture
def imports(tmp_path: Path) -> Imports:
    return Imports(tmp_path / "out")


@pytest.fixture(scope="session")
def box() -> Callable[..., Boxes]:
    return boxes
