"""Decoded chunks on the disk, so that the next start needs no decoding.

An entry is a folder named by what is in it: the split's fingerprint, how it was decoded, by which version of the
decoder. What is in a chunk follows from its entry's name and its own, so several sweeps may write the same one at a
time. A disk that is full, or can't be written, only means that there is no cache.
"""

import contextlib
import hashlib
import json
import logging
import mmap
import os
import shutil
import struct
import time
import uuid
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from trainyard.data.columns import Columns
from trainyard.data.shapes import DecodeSettings

FOLDER_VARIABLE = "TRAINYARD_CACHE"
LIMIT_VARIABLE = "TRAINYARD_CACHE_GIB"
DEFAULT_LIMIT_GIB = 20.0
MOST_GIB = 2.0**30
"""An exbibyte: no limit, which `inf` stands for."""

SHARE_OF_FREE_DISK = 0.5
"""The cache never takes more than this of what would be free without it."""

_MAGIC = b"trainyard columns 1\n"
_NUMBERS = struct.Struct("<QI")
_HEADER = len(_MAGIC) + _NUMBERS.size
"""After it comes the description, in JSON, whose length and checksum it ends with; then the columns."""

_ALIGNMENT = 64
_ABOUT = "about.json"
_SUFFIX = ".columns"
_LEFT_BEHIND_SECONDS = 3600.0
"""A file that has been under way for so long belongs to a process that is dead."""

log = logging.getLogger("trainyard")


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """Where the cache is and how large it gets: as the user set it, for processes on this and on other machines.

    folder: None: $XDG_CACHE_HOME/trainyard or ~/.cache/trainyard of the machine. limit: in bytes; 0 switches it off.
    """

    folder: str | None = None
    limit: int = int(DEFAULT_LIMIT_GIB * 2**30)

    @classmethod
    def here(cls) -> Self:
        """As the environment of this process says."""
        folder = os.environ.get(FOLDER_VARIABLE) or None
        try:
            limit = float(os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT_GIB)
            return cls(folder=folder, limit=int(min(max(limit, 0.0), MOST_GIB) * 2**30))
        except ValueError:  # also from int(NaN)
            log.warning("%s must be a number of GiB, got %r", LIMIT_VARIABLE, os.environ[LIMIT_VARIABLE])
            return cls(folder=folder)

    def resolved(self) -> Path:
        """OSError or RuntimeError where there is no home."""
        if self.folder is not None:
            return Path(self.folder).expanduser()
        shared = os.environ.get("XDG_CACHE_HOME")
        return (Path(shared) if shared else Path.home() / ".cache") / "trainyard"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A decoded split on the disk. data, split: what it was decoded from, for people. used: when last, Unix time."""

    name: str
    data: str
    split: str
    nbytes: int
    used: float


def entry_name(fingerprint: str, settings: DecodeSettings, version: int) -> str:
    """Of a split's content, of how it is decoded, and of the decoder's version."""
    content = json.dumps([fingerprint, asdict(settings), version], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:40]


class DiskCache:
    """The entries of one machine. No method raises for what is wrong with the disk."""

    def __init__(self, settings: CacheSettings) -> None:
        self._limit = settings.limit
        self._folder: Path | None = None
        try:
            self._folder = settings.resolved() / "decoded"
        except (OSError, RuntimeError) as error:
            self._say(str(error))

    def read(self, entry: str, chunk: str) -> Columns | None:
        """The columns of a chunk, read-only views of the file's pages; None if it isn't there or is damaged."""
        if self._folder is None or self._limit == 0:
            return None
        file = self._folder / entry / f"{chunk}{_SUFFIX}"
        try:
            with file.open("rb") as stream:
                columns = _parsed(memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)))
        except FileNotFoundError:
            return None
        except OSError as error:
            self._say(f"can't read {file}: {error.strerror or error}")
            return None
        except (ValueError, TypeError, struct.error) as error:
            log.warning("the cached chunk %s is damaged and decoded again: %s", file, error)
            return None
        with contextlib.suppress(OSError):  # another user's cache may be read, too
            os.utime(file.parent)
        return columns

    def write(self, entry: str, chunk: str, columns: Columns, *, data: str, split: str, entry_bytes: int) -> None:
        """Keep a chunk. data, split: what it was decoded from. entry_bytes: of all chunks of its entry."""
        if self._folder is None or self._limit == 0:
            return
        folder = self._folder / entry
        aside = folder / f".{uuid.uuid4().hex}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not self._make_room(entry, entry_bytes):
                return
            if not (folder / _ABOUT).exists():
                aside.write_text(json.dumps({"data": data, "split": split}))
                aside.replace(folder / _ABOUT)
            _write(aside, columns)
            aside.replace(folder / f"{chunk}{_SUFFIX}")
        except OSError as error:
            self._say(f"can't write {self._folder}: {error.strerror or error}")
            self._folder = None
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """The last used first."""
        found = [self._entry(folder) for folder in self._entry_folders()]
        return sorted((entry for entry in found if entry is not None), key=lambda entry: -entry.used)

    def clear(self) -> int:
        """Delete all entries; the bytes that they took."""
        entries = self.entries()
        for entry in entries:
            self._delete(entry.name)
        return sum(entry.nbytes for entry in entries)

    def _make_room(self, entry: str, entry_bytes: int) -> bool:
        """Delete what was used least recently until an entry fits; whether it does."""
        assert self._folder is not None
        others = [other for other in self.entries() if other.name != entry]
        own = self._entry(self._folder / entry)
        taken = sum(other.nbytes for other in others)
        here = own.nbytes if own else 0
        free = shutil.disk_usage(self._folder).free
        most = min(self._limit, int(SHARE_OF_FREE_DISK * (free + taken + here)))
        if entry_bytes > most:
            self._say(f"{entry_bytes >> 20} MiB don't fit the {most >> 20} MiB that it may take")
            return False
        while taken + entry_bytes > most:
            oldest = others.pop()
            self._delete(oldest.name)
            taken -= oldest.nbytes
        return True

    def _entry_folders(self) -> list[Path]:
        try:
            return [] if self._folder is None else [path for path in self._folder.iterdir() if path.is_dir()]
        except OSError:
            return []

    def _entry(self, folder: Path) -> Entry | None:
        """None if it has just been deleted."""
        try:
            about = _about(folder)
            files = [(file, file.stat()) for file in folder.iterdir()]
            for file, facts in files:
                if file.name.startswith(".") and time.time() - facts.st_mtime > _LEFT_BEHIND_SECONDS:
                    file.unlink(missing_ok=True)
            nbytes = sum(facts.st_size for _, facts in files)
            return Entry(name=folder.name, nbytes=nbytes, used=folder.stat().st_mtime, **about)
        except OSError:
            return None

    def _delete(self, entry: str) -> None:
        assert self._folder is not None
        # Who reads a chunk of it keeps its pages.
        shutil.rmtree(self._folder / entry, ignore_errors=True)

    def _say(self, reason: str) -> None:
        """Once in a process."""
        if reason not in _said:
            _said.add(reason)
            log.warning("decoded data isn't cached on the disk: %s", reason)


_said: set[str] = set()


def _about(folder: Path) -> dict[str, str]:
    try:
        about = json.loads((folder / _ABOUT).read_text())
        return {"data": str(about["data"]), "split": str(about["split"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"data": "unknown", "split": "unknown"}


def _write(file: Path, columns: Columns) -> None:
    """Not synced, which takes as long as writing: what a power cut leaves is recognised by its checksums."""
    header: list[dict[str, Any]] = []
    start = 0
    for name, column in columns.items():
        assert column.flags.c_contiguous
        facts: dict[str, Any] = {"name": name, "dtype": column.dtype.str, "shape": column.shape, "start": start}
        header.append(facts | {"checksum": zlib.crc32(_bytes(column))})
        start += _padded(column.nbytes)
    described = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(_MAGIC + _NUMBERS.pack(len(described), zlib.crc32(described)) + described)
        for facts, column in zip(header, columns.values(), strict=True):
            stream.seek(_padded(_HEADER + len(described)) + facts["start"])
            stream.write(_bytes(column))


def _parsed(content: memoryview) -> Columns:
    """ValueError, TypeError or struct.error for what isn't just what was written."""
    if content[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it begins otherwise")
    length, checksum = _NUMBERS.unpack(content[len(_MAGIC) : _HEADER])
    described = bytes(content[_HEADER : _HEADER + length])
    if zlib.crc32(described) != checksum:
        raise ValueError("the checksum of its description differs")
    columns = {}
    for facts in json.loads(described):
        column = np.ndarray(facts["shape"], facts["dtype"], content, _padded(_HEADER + length) + facts["start"])
        if zlib.crc32(_bytes(column)) != facts["checksum"]:
            raise ValueError(f"the checksum of {facts['name']} differs")
        columns[facts["name"]] = column
    return columns


def _bytes(column: np.ndarray) -> memoryview:
    return column.reshape(-1).view(np.uint8).data


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
