"""A folder or a file, on a local disk or in a bucket."""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote
from uuid import uuid4

from trainyard.errors import DataError, UsageError

STORES = {"s3": "s3", "gs": "gs", "gcs": "gs"}
"""URI scheme to the one that pyarrow knows it by."""

_REQUEST = re.compile(r"\s*\((Request|Host) ID:[^)]*\)")
"""In the messages of buckets, of use to who runs them."""

PARTIAL = ".partial-"
"""In the names of files that are being written; hidden, so that `walk` never finds them."""

PAUSES = (1.0, 3.0, 9.0, 27.0)
"""Seconds between the tries of what a bucket does not do: as long as a moment's trouble of a network lasts. The client
of the bucket itself has tried several times by then."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file below a location. path: relative to it, with `/`. size: in bytes. changed: when it was written last, in
    nanoseconds since 1970; 0 if a bucket doesn't say."""

    path: str
    size: int
    changed: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where something lies. It is pickled, and means the same in a process with another working directory.

    Local files raise OSError as always. In a bucket a missing file is a FileNotFoundError, and everything else that
    goes wrong (no network, no permission) is a DataError: it says nothing about the file itself.

    scheme: empty for a local disk. path: absolute, or bucket and key. shown: the path as the user wrote it.
    """

    scheme: str = ""
    credentials: str = field(default="", repr=False)
    path: str
    settings: str = ""
    shown: str = field(default="", compare=False)

    @classmethod
    def of(cls, place: "str | Path | Location") -> "Location":
        """A path, or a URI: `s3://bucket/a?region=eu-central-1`, `s3://bucket/a?endpoint_override=host:9000&scheme=http`,
        `gs://bucket/a`. The settings after `?` are those of pyarrow's file systems. UsageError for anything else."""
        if isinstance(place, Location):
            return place
        text = str(place)
        if isinstance(place, Path) or "://" not in text:
            return _local(text)
        scheme, _, rest = text.partition("://")
        if scheme == "file":
            return _local(unquote(rest))
        if scheme not in STORES:
            raise UsageError(f"unknown kind of place {scheme}://. Known are paths and s3://, gs://, file://.")
        # Not by urllib: a key is taken as it stands, as other tools for buckets do, with `#` and `%20` as parts of it.
        body, _, settings = rest.partition("?")
        owner, _, key = body.partition("/")
        credentials, _, bucket = owner.rpartition("@")
        if ":" in bucket:
            raise UsageError(f"{scheme}://: a bucket's name has no colon. Write / in a secret key as %2F, + as %2B.")
        if not bucket:
            raise UsageError(f"no bucket in {scheme}://: write {scheme}://BUCKET/PATH")
        path = f"{bucket}/{key.strip('/')}".rstrip("/")
        return cls(scheme=scheme, credentials=credentials, path=path, settings=settings, shown=path)

    def __truediv__(self, name: str) -> "Location":
        return Location(
            scheme=self.scheme,
            credentials=self.credentials,
            path=f"{self.path.rstrip('/')}/{name}",
            settings=self.settings,
            shown=f"{self.shown.rstrip('/')}/{name}" if self.shown != "." else name,
        )

    def __str__(self) -> str:
        """As the user wrote it, without secrets."""
        if not self.scheme:
            return self.shown
        hidden = "***@" if self.credentials else ""
        return f"{self.scheme}://{hidden}{self.shown}" + (f"?{self.settings}" if self.settings else "")

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def local(self) -> Path | None:
        """The absolute path, if it is on a local disk."""
        return None if self.scheme else Path(self.path)

    def filesystem(self) -> Any:
        """pyarrow's file system that `path` is in, for libraries that take one; None for a local disk."""
        if self.local:
            return None
        with self._reached() as store:
            return store

    def exists(self) -> bool:
        if self.local:
            return self.local.exists()
        return self._type() != "NotFound"

    def is_directory(self) -> bool:
        if self.local:
            return self.local.is_dir()
        return self._type() == "Directory"

    def changed(self) -> int:
        """When a file was written last, in nanoseconds since 1970; 0 if a bucket doesn't say."""
        if self.local:
            return self.local.stat().st_mtime_ns
        with self._reached() as store:
            return store.get_file_info(self.path).mtime_ns or 0

    def read_bytes(self) -> bytes:
        if not self.scheme:
            with open(self.path, "rb") as file:
                return file.read()
        with self._reached() as store, store.open_input_stream(self.path) as stream:
            return bytes(stream.read())

    def write_bytes(self, data: bytes | memoryview) -> None:
        """The whole file or none: locally aside and renamed; a bucket shows an object when it is complete."""
        if self.local:
            _write_aside(self.local, data)
            return
        with self._reached() as store, store.open_output_stream(self.path) as stream:
            stream.write(data)

    def open_input(self) -> Any:
        """A pyarrow file for random access."""
        if self.local:
            import pyarrow as pa

            return pa.OSFile(self.path, "rb")
        with self._reached() as store:
            return store.open_input_file(self.path)

    def walk(self) -> list[Found]:
        """All files below this folder, sorted by path. Not what is hidden, nor macOS's copies in `__MACOSX`.

        Links that lead nowhere are files of size 0, which are missing when they are read.
        """
        if self.local:
            return sorted(_walk(self.local, "", ()), key=lambda found: found.path)
        from pyarrow.fs import FileSelector, FileType

        with self._reached() as store:
            infos = store.get_file_info(FileSelector(self.path, recursive=True))
        found = [
            Found(path=info.path[len(self.path) + 1 :], size=info.size, changed=info.mtime_ns or 0)
            for info in infos
            if info.type == FileType.File
        ]
        return sorted((file for file in found if not _is_hidden(file.path)), key=lambda file: file.path)

    def folders(self) -> list[str]:
        """The names of the folders directly in this one, sorted. Not hidden ones."""
        if self.local:
            names = [entry.name for entry in os.scandir(self.local) if entry.is_dir()]
        else:
            from pyarrow.fs import FileSelector, FileType

            with self._reached() as store:
                infos = store.get_file_info(FileSelector(self.path))
            names = [info.base_name for info in infos if info.type == FileType.Directory]
        return sorted(name for name in names if not _is_hidden(name))

    def delete(self) -> None:
        """A file, or a folder with all that is in it. Nothing happens if there is none."""
        if self.local:
            _delete(self.local)
            return
        kind = self._type()
        with self._reached() as store:
            if kind == "Directory":
                store.delete_dir(self.path)
            elif kind == "File":
                store.delete_file(self.path)

    def _type(self) -> str:
        with self._reached() as store:
            return str(store.get_file_info(self.path).type.name)

    @contextmanager
    def _reached(self) -> Iterator[Any]:
        """The bucket's file system. What fails is a DataError, except that a file is missing."""
        bucket = self.path.partition("/")[0]
        try:
            yield _store(STORES[self.scheme], self.credentials, bucket, self.settings)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise DataError(f"can't reach {self}: {self._reason(error)}.") from error
        except ValueError as error:  # pyarrow's ArrowInvalid
            raise UsageError(f"can't use {self}: {self._reason(error)}.") from error

    def _reason(self, error: Exception) -> str:
        reason = _REQUEST.sub("", str(error)).rstrip(". ")
        return reason.replace(self.credentials, "***") if self.credentials else reason


@lru_cache(maxsize=64)
def _store(scheme: str, credentials: str, bucket: str, settings: str) -> Any:
    """One connection pool for each bucket in a process: asking for a bucket's region takes a request."""
    from pyarrow.fs import FileSystem

    if scheme == "gs" and "retry_limit_seconds" not in settings:
        # The default is 15 minutes, in which a user without credentials sees nothing.
        settings = "&".join(filter(None, [settings, "retry_limit_seconds=60"]))
    owner = f"{credentials}@" if credentials else ""
    return FileSystem.from_uri(f"{scheme}://{owner}{bucket}" + (f"?{settings}" if settings else ""))[0]


def _local(text: str) -> Location:
    if not text:
        raise UsageError("a path is missing: it is empty.")
    return Location(path=os.path.abspath(text), shown=os.path.normpath(text))


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Found]:
    """Links are followed, but not back into a folder that is being walked."""
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_hidden(entry.name):
                continue
            if _leads_nowhere(entry):
                changed = entry.stat(follow_symlinks=False).st_mtime_ns
                yield Found(path=prefix + entry.name, size=0, changed=changed)
            elif entry.is_dir():
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, here))
            elif entry.is_file():
                status = entry.stat()
                yield Found(path=prefix + entry.name, size=status.st_size, changed=status.st_mtime_ns)


def _leads_nowhere(entry: "os.DirEntry[str]") -> bool:
    """A link to nothing, or in a circle of links."""
    return entry.is_symlink() and not os.path.exists(entry.path)


def _write_aside(path: Path, data: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}{PARTIAL}{uuid4().hex[:8]}")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _delete(path: Path) -> None:
    import shutil

    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
        shutil.rmtree(path)


def patiently(action: Callable[[], _T]) -> _T:
    """Do it again and again while a bucket raises DataError, for 40 s: then that passes through."""
    for pause in PAUSES:
        try:
            return action()
        except DataError:
            time.sleep(pause)
    return action()
