"""What an import will do: the files to be, and a hash that tells one import from another."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from posixpath import dirname

import numpy as np

from trainyard.data.importing.checks import OnError, RawShape, Rules, raw_shape
from trainyard.data.importing.masks import MOST_CLASSES
from trainyard.data.importing.shard import Shard, placed
from trainyard.data.importing.splitting import SplitRule, shuffled, split_entries
from trainyard.data.location import Found, Location
from trainyard.data.manifest import FORMAT_VERSION, MadeSplit
from trainyard.data.source import Entry, Listing, Problem, Source
from trainyard.errors import DataError

SHARD_ROWS = 8192
SHARD_BYTES = 32 << 20
"""Of a source's files. A worker holds about that much, and what is lost when it is killed is read again quickly."""

PROBED = 16
"""Entries of which the first readable one says whether the source gives arrays."""

_NO_TEXT = re.compile("[\ud800-\udfff]")
"""How Python reads bytes of a file's name that are no UTF-8, which can't be written as text."""

MOST_LABELS = 32_767
"""The column of classes has 16 bits."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """shards: in the order of the rows. problems: found while listing and splitting. hash: of all that the content of
    the data set follows from."""

    rules: Rules
    shards: Sequence[Shard]
    made_splits: Mapping[str, MadeSplit]
    problems: Sequence[Problem]
    ignored: int
    hash: str

    @property
    def rows(self) -> int:
        return sum(len(shard.entries) for shard in self.shards)


def plan_import(source: Source, *, format_name: str, on_error: OnError, splits: SplitRule) -> Plan:
    """Lists the source and reads its first entry. DataError for a source without a row, or with too many classes."""
    listing = _with_text(source.listing())
    if not listing.entries:
        raise DataError(f"there is no image in the source.{_first(listing.problems)}")
    most = MOST_CLASSES if listing.annotation == "mask" else MOST_LABELS
    if not 0 < len(listing.classes) <= most:
        raise DataError(f"a data set has 1 to {most:,} classes, got {len(listing.classes):,}.")
    splitting = split_entries(listing, splits)
    rules = Rules(
        annotation=listing.annotation,
        classes=tuple(listing.classes),
        mask_coding=listing.mask_coding,
        raw=_raw_shape(source, listing.entries),
        on_error=on_error,
    )
    shards = [
        shard for split, entries in splitting.splits.items() for shard in cut(split, shuffled(entries, splits.seed))
    ]
    return Plan(
        rules=rules,
        shards=shards,
        made_splits=splitting.made,
        problems=[*listing.problems, *splitting.problems],
        ignored=listing.ignored,
        hash=_hash(rules, shards, format_name, splitting.made, listing.problems, _changes(source, listing.entries)),
    )


def places(source: Source) -> list[Location]:
    """Where its files are; none for a source that brings its data along."""
    return [value for value in getattr(source, "__dict__", {}).values() if isinstance(value, Location)]


def _with_text(listing: Listing) -> Listing:
    """With names of classes that can be written. DataError if two are no longer told apart."""
    classes = tuple(_NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", name) for name in listing.classes)
    if classes == tuple(listing.classes):
        return listing
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise DataError(f"the names of two classes are no UTF-8 and look the same, {twice}. Rename one.")
    return replace(listing, classes=classes)


def _changes(source: Source, entries: Sequence[Entry]) -> Mapping[str, tuple[int, int]]:
    """Size and time of the last change of each file that entries are read from, by its path."""
    found: dict[str, Found] = {}
    for place in places(source):
        found |= {file.path: file for file in (place.walk() if place.is_directory() else ())}
    read = {entry.name for entry in entries} | {entry.mask for entry in entries if entry.mask}
    # Where a file holds many images: `FILE#7`, or `FILE.npz/ARRAY#7`.
    holding = {name.rpartition("#")[0] for name in read - found.keys()}
    read |= holding | {dirname(file) for file in holding}
    return {path: (found[path].size, found[path].changed) for path in read if path in found}


def cut(split: str, entries: Sequence[Entry]) -> Iterator[Shard]:
    """Into files of at most SHARD_ROWS entries and about SHARD_BYTES."""
    first, number, size = 0, 0, 0
    for position, entry in enumerate(entries):
        if position > first and (position - first >= SHARD_ROWS or size + entry.source_bytes > SHARD_BYTES):
            yield Shard(file=file_name(split, number), split=split, entries=entries[first:position])
            first, number, size = position, number + 1, 0
        size += entry.source_bytes
    if len(entries) > first:
        yield Shard(file=file_name(split, number), split=split, entries=entries[first:])


def file_name(split: str, number: int) -> str:
    return f"{split}-{number:05d}.parquet"


def _raw_shape(source: Source, entries: Sequence[Entry]) -> RawShape | None:
    """The shape of the images of a source of arrays, None for one of files."""
    for entry in entries[:PROBED]:
        try:
            image = source.read(placed(entry, entry.split or "train")).image
            return raw_shape(image) if isinstance(image, np.ndarray) else None
        except (OSError, ValueError):
            continue
    return None


def _hash(
    rules: Rules,
    shards: Sequence[Shard],
    format_name: str,
    made: Mapping[str, MadeSplit],
    problems: Sequence[Problem],
    changes: Mapping[str, tuple[int, int]],
) -> str:
    digest = hashlib.sha256()
    made_splits = {name: split.model_dump() for name, split in made.items()}
    options = [FORMAT_VERSION, SHARD_ROWS, SHARD_BYTES, format_name, asdict(rules), made_splits]
    digest.update(json.dumps([*options, [asdict(problem) for problem in problems]], sort_keys=True).encode())
    for shard in shards:
        for entry in shard.entries:
            facts = (shard.file, entry.name, entry.label, entry.mask, entry.size, entry.source_bytes)
            digest.update(repr(facts).encode(errors="surrogateescape"))
            if entry.boxes is not None:
                for array in (entry.boxes.corners, entry.boxes.labels, entry.boxes.crowd):
                    digest.update(np.ascontiguousarray(array).tobytes())
    for path in sorted(changes):
        digest.update(repr((path, changes[path])).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _first(problems: Sequence[Problem]) -> str:
    return f" The first problem: {problems[0].file}: {problems[0].reason}." if problems else ""
