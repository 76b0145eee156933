"""Parts of a split as what is extracted from them: from the disk, or by extracting it."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainyard.data.chunks import ChunkReader
from trainyard.data.columns import Columns, row_count
from trainyard.data.dataset import Dataset, RowGroup
from trainyard.data.decode import DECODER_VERSION
from trainyard.data.disk_cache import CacheSettings, DiskCache, entry_name
from trainyard.data.shapes import DecodeSettings
from trainyard.errors import DataError
from trainyard.spec.job import Job
from trainyard.training.extraction.extractor import Extractor, extractors_of


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some rows of a chunk: what is extracted at a time. groups: the row groups of the chunk. start: within it."""

    groups: tuple[RowGroup, ...]
    start: int
    rows: int

    @property
    def first_row(self) -> int:
        """In the split."""
        return self.start + (self.groups[0].first_row if self.groups else 0)

    @property
    def name(self) -> str:
        return f"{self.first_row}-{self.first_row + self.rows}"


@dataclass(frozen=True, kw_only=True)
class ExtractionReader:
    """Reads parts of a split as what an extractor makes of them.

    What that is follows from the content of the split, the decoder and the identity of the extractor, and so does its
    name in the disk cache.
    """

    images: ChunkReader
    extractor: Extractor

    def parts(self) -> list[Part]:
        """In the order of the rows."""
        return [part for groups in self.images.chunks() for part in self._parts_of(tuple(groups))]

    def _parts_of(self, groups: tuple[RowGroup, ...]) -> Iterator[Part]:
        rows = sum(group.rows for group in groups)
        most = self.extractor.part_rows or max(1, rows)
        for start in range(0, max(1, rows), most):
            yield Part(groups=groups, start=start, rows=min(most, rows - start))

    def stored(self, part: Part) -> Columns | None:
        """The part as it was extracted before, a read-only view of the disk's pages; None if it isn't there."""
        found = self._disk.read(self._entry, part.name)
        rows = part.rows * self._times
        return found if found is not None and all(len(column) == rows for column in found.values()) else None

    def keep(self, part: Part, columns: Columns) -> None:
        """On the disk, for the next time."""
        facts, rows = self.images.dataset.manifest.splits[self.images.split], row_count(columns)
        nbytes = sum(column.nbytes for column in columns.values())
        self._disk.write(
            self._entry,
            part.name,
            columns,
            data=self.images.dataset.path,
            split=f"{self.images.split}, {self.extractor.architecture} {self.extractor.what}",
            entry_bytes=facts.rows * self._times * nbytes // max(1, rows),
        )

    def extract(self, part: Part, device: str) -> Columns:
        """Decode a part, and extract on a device.

        TrialError if the extractor can't be built or doesn't take such images, StorageError if its weights can't be
        had. DataError as Decoder, and for a row of which something that isn't finite was extracted.
        """
        # Of files of images a chunk is decoded once, whichever parts are read of it: the rest is read from the disk.
        chunk = self.images.read(part.groups)
        decoded = {name: column[part.start : part.start + part.rows] for name, column in chunk.items()}
        columns = self.extractor.extract(decoded, part.first_row, device)
        for column in columns.values():
            if column.dtype.kind == "f":
                self._require_finite(column.reshape(len(column), -1), part)
        return columns

    def _require_finite(self, extracted: np.ndarray, part: Part) -> None:
        wrong = np.flatnonzero([not np.isfinite(row).all() for row in extracted])
        if len(wrong):
            row, split, what = part.first_row + int(wrong[0]) % part.rows, self.images.split, self.extractor.what
            others = f", nor those of {len(wrong) - 1} other rows" if len(wrong) > 1 else ""
            raise DataError(
                f"{self.images.dataset.path}: the {what} of row {row} of split {split} are not finite{others}. "
                f"{self.extractor.advice}"
            )

    @property
    def _times(self) -> int:
        """Rows that come of one."""
        return 1 + self.extractor.copies

    @cached_property
    def _entry(self) -> str:
        fingerprint = self.images.dataset.manifest.splits[self.images.split].fingerprint
        decoded = entry_name(fingerprint, self.images.settings, DECODER_VERSION)
        content = [decoded, *self.extractor.identity]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:40]

    @cached_property
    def _disk(self) -> DiskCache:
        return DiskCache(self.images.cache)


def readers_of(job: Job, dataset: Dataset) -> tuple[ExtractionReader, ExtractionReader]:
    """Of the rows to train on and of those to evaluate on: equal where they are the same.

    DataError if a split isn't what was imported, StorageError if the file of the weights can't be read.
    """
    settings = DecodeSettings.of(job.data, dataset.manifest, job.prompts)
    train, evaluate = (
        ExtractionReader(images=ChunkReader(dataset, split, settings, CacheSettings.here()), extractor=extractor)
        for split, extractor in zip((job.data.train_split, job.data.evaluate_split), extractors_of(job), strict=True)
    )
    for split in dict.fromkeys((job.data.train_split, job.data.evaluate_split)):
        dataset.check_content(split)
    return train, evaluate
