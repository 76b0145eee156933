"""A split in chunks of rows: what is decoded at a time, kept on the disk at a time, and shared as one object."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from trainyard.data.columns import Columns
from trainyard.data.dataset import Dataset, RowGroup
from trainyard.data.decode import DECODER_VERSION, Decoder
from trainyard.data.disk_cache import CacheSettings, DiskCache, entry_name
from trainyard.data.shapes import DecodeSettings

PLAIN_BYTES = 256 << 20
"""Decoded bytes of a chunk of pixels that only have to be copied: less than a second of work."""

ENCODED_BYTES = 64 << 20
ENCODED_ROWS = 4096
"""Of a chunk of image files: some seconds of work, so that a large split keeps all CPUs of a cluster busy.

The chunks follow from the data and the settings alone, so that whoever decodes the same finds it on the disk.
"""


@dataclass(frozen=True)
class ChunkReader:
    """Reads chunks of a split: from the disk where they were decoded before, or by decoding them."""

    dataset: Dataset
    split: str
    settings: DecodeSettings
    cache: CacheSettings

    def chunks(self) -> list[list[RowGroup]]:
        """The row groups of each chunk; one of no groups for a split without rows."""
        most_bytes, most_rows = (PLAIN_BYTES, None) if self._decoder.is_plain else (ENCODED_BYTES, ENCODED_ROWS)
        chunks: list[list[RowGroup]] = [[]]
        rows = 0
        for group in self.dataset.groups(self.split):
            after = rows + group.rows
            if rows and (after * self._decoder.row_bytes > most_bytes or (most_rows and after > most_rows)):
                chunks.append([])
                after = group.rows
            chunks[-1].append(group)
            rows = after
        return chunks

    def read(self, groups: Sequence[RowGroup]) -> Columns:
        """The columns of a chunk; read-only if they come from the disk. DataError as Decoder."""
        if self._decoder.is_plain or not groups:
            # 140 MiB at 3x32x32 took 0.4 s, digests and all, and as long from the disk with the copy into the store.
            return self._decoder.groups(groups)
        entry = self._entry
        chunk = f"{groups[0].first_row}-{groups[-1].first_row + groups[-1].rows}"
        cached = self._disk.read(entry, chunk)
        if cached is not None and self._is_as_expected(cached, sum(group.rows for group in groups)):
            return cached
        columns = self._decoder.groups(groups)
        facts = self.dataset.manifest.splits[self.split]
        entry_bytes = facts.rows * self._decoder.row_bytes
        place = self.dataset.path
        self._disk.write(entry, chunk, columns, data=place, split=self.split, entry_bytes=entry_bytes)
        return columns

    def _is_as_expected(self, columns: Columns, rows: int) -> bool:
        expected = {name: ((rows, *column.shape), column.dtype) for name, column in self._decoder.shapes.items()}
        return {name: (column.shape, column.dtype.str.lstrip("<|")) for name, column in columns.items()} == expected

    @property
    def _entry(self) -> str:
        fingerprint = self.dataset.manifest.splits[self.split].fingerprint
        return entry_name(fingerprint, self.settings, DECODER_VERSION)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.dataset, self.split, self.settings)

    @cached_property
    def _disk(self) -> DiskCache:
        return DiskCache(self.cache)
