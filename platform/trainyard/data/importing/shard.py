"""One Parquet file of a data set: its entries read, checked and written, by one process."""

import errno
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from trainyard.data.dataset import IMPORT_FOLDER, schema_of
from trainyard.data.importing.checks import Checker, Row, Rules
from trainyard.data.importing.facts import ShardFacts
from trainyard.data.importing.tables import table_of
from trainyard.data.importing.tally import Tally
from trainyard.data.location import Location
from trainyard.data.pictures import Picture
from trainyard.data.source import Entry, Example
from trainyard.errors import DataError

GROUP_ROWS = 512
GROUP_BYTES = 4 << 20
"""Of a row group, the part that is read at once: small, so that a stream can mix many of them."""

_WRONG_PLACE = (
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)
"""What repeating doesn't help against."""

REMOTE_READERS = 16
"""Files of a bucket that a worker reads at a time: each takes some 50 ms, nearly all of it waiting."""


Read = Callable[[Entry], Example]
"""See Source.read; picklable."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What will be one file. excluded: position to reason, of entries that are left out without being read."""

    file: str
    split: str
    entries: Sequence[Entry]
    excluded: Mapping[int, str] = field(default_factory=dict)


def placed(entry: Entry, split: str) -> Entry:
    return entry if entry.split == split else replace(entry, split=split)


def facts_file(destination: Location, file: str) -> Location:
    return destination / IMPORT_FOLDER / f"{file}.json"


def make_shard(shard: Shard, read: Read, rules: Rules, destination: Location, readers: int = 1) -> ShardFacts:
    """Write a shard's file, and then its facts: a file without facts is written again.

    DataError if the destination refuses. What is wrong with the source is in the facts.
    """
    checker = Checker(rules)
    tally = Tally(rules)
    writer = _FileWriter(rules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for position, row, picture in _rows(shard, read, checker, readers):
            tally.add(row, picture, position)
            writer.add(row)
    content = writer.finish()
    size = len(content) if content else 0
    facts = tally.facts(
        file=shard.file, split=shard.split, size=size, excluded=shard.excluded, problems=checker.problems
    )
    with writing_to(destination):
        if content:
            (destination / shard.file).write_bytes(content)
        elif shard.excluded:
            (destination / shard.file).delete()
        facts_file(destination, shard.file).write_bytes(facts.model_dump_json().encode())
    return facts


@contextmanager
def writing_to(destination: Location) -> Iterator[None]:
    """What the disk refuses is a DataError that says what to do; of what is written nothing is lost."""
    try:
        yield
    except OSError as error:
        way_out = "Repeat the import: it goes on with what is left."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            way_out = "Make room, then repeat the import: it goes on with what is left."
        elif error.errno in _WRONG_PLACE:
            way_out = "Choose a folder that can be written."
        raise DataError(f"can't write the data set {destination}: {error.strerror or error}. {way_out}") from error


def _rows(shard: Shard, read: Read, checker: Checker, readers: int) -> Iterator[tuple[int, Row, Picture]]:
    """Position in the shard, row and decoded image, of all that are not left out."""
    for position, (entry, found) in enumerate(_examples(shard, read, readers)):
        if isinstance(found, Exception):
            checker.leave_out(entry.name, *_unread(entry, found))
        elif isinstance(found, str):
            checker.leave_out(entry.name, "duplicate across splits", found)
        elif (checked := checker.row(entry, found)) is not None:
            yield position, *checked


def _examples(shard: Shard, read: Read, readers: int) -> Iterator[tuple[Entry, Example | Exception | str]]:
    """Each entry with what was read, or why nothing was."""

    def found(position: int) -> Example | Exception | str:
        if position in shard.excluded:
            return shard.excluded[position]
        try:
            return read(placed(shard.entries[position], shard.split))
        except (OSError, ValueError) as error:
            return error

    positions = range(len(shard.entries))
    if readers < 2:
        yield from zip(shard.entries, map(found, positions), strict=True)
        return
    with ThreadPoolExecutor(readers) as pool:
        left = iter(positions)
        ahead = deque(pool.submit(found, position) for position in islice(left, readers))
        for entry in shard.entries:
            yield entry, ahead.popleft().result()
            ahead.extend(pool.submit(found, position) for position in islice(left, 1))


def _unread(entry: Entry, error: Exception) -> tuple[str, str]:
    """Kind and reason."""
    if isinstance(error, FileNotFoundError):
        missing_mask = entry.mask is not None and entry.mask in str(error)
        return ("mask missing", f"its mask {entry.mask} is missing") if missing_mask else ("missing", "it is missing")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return "unreadable", f"it can't be read: {reason}"


class _FileWriter:
    """Gathers rows into row groups, and those into a Parquet file in memory."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._schema = schema_of(rules.annotation)
        self._rows: list[Row] = []
        self._bytes = 0
        self._sink = pa.BufferOutputStream()
        self._parquet: pq.ParquetWriter | None = None

    def add(self, row: Row) -> None:
        self._rows.append(row)
        self._bytes += len(row.image) + len(row.mask or b"")
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()

    def finish(self) -> memoryview | None:
        """None if there was no row."""
        if self._rows:
            self._write_group()
        if self._parquet is None:
            return None
        self._parquet.close()
        return memoryview(self._sink.getvalue())

    def _write_group(self) -> None:
        self._parquet = self._parquet or self._opened()
        self._parquet.write_table(table_of(self._rows, self._schema), row_group_size=len(self._rows))
        self._rows, self._bytes = [], 0

    def _opened(self) -> pq.ParquetWriter:
        # Image files are compressed already, pixels shrink to a half or less.
        compression = dict.fromkeys(_leaves(self._schema), "zstd")
        if not self._rules.raw:
            compression["image"] = "none"
        compression |= {"digest": "none"} | ({"mask": "none"} if "mask" in self._schema.names else {})
        return pq.ParquetWriter(
            self._sink, self._schema, compression=compression, use_dictionary=False, write_statistics=False
        )


def _leaves(schema: pa.Schema) -> Iterator[str]:
    """Parquet's names of the columns."""
    for column in schema:
        yield f"{column.name}.list.element" if pa.types.is_list(column.type) else column.name
