"""The files of a source, listed once and looked up often."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from posixpath import dirname
from typing import Self

from trainyard.data.formats.lookup import Lookup
from trainyard.data.formats.names import is_image, listed
from trainyard.data.location import Location
from trainyard.errors import DataError

READERS = 16
"""Small files read at a time: on a bucket each one waits some 50 ms for its answer."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Everything below a folder that is not hidden.

    files: path below the folder, with forward slashes, to its size in bytes; sorted.
    only: the file that the user named as the source instead of a folder; the folder is then one above it.
    """

    location: Location
    files: Mapping[str, int]
    only: str | None = None

    @classmethod
    def of(cls, location: Location, only: str | None = None) -> Self:
        """DataError if there is nothing."""
        if not location.exists():
            raise DataError(f"{location} does not exist. Name the folder or file to import.")
        folder = location
        if only is None:
            folder, only = folder_and_file(location)
        try:
            files = {found.path: found.size for found in folder.walk()}
        except OSError as error:
            raise DataError(f"can't list {location}: {error.strerror or error}.") from error
        if not files:
            raise DataError(f"{location} is empty. Name the folder or file to import.")
        return cls(location=folder, files=files, only=only)

    @cached_property
    def images(self) -> tuple[str, ...]:
        """The paths of all files that are images by their suffix."""
        return tuple(path for path in self.files if is_image(path))

    @cached_property
    def folders(self) -> frozenset[str]:
        """The paths of all folders that hold a file, at whatever depth."""
        found: set[str] = set()
        for path in self.files:
            folder = dirname(path)
            while folder and folder not in found:
                found.add(folder)
                folder = dirname(folder)
        return frozenset(found)

    @cached_property
    def lookup(self) -> Lookup:
        """The images by all that annotation files may call them by."""
        return Lookup.of(self.images)

    def within(self, folder: str) -> Iterator[str]:
        """The files directly in a folder."""
        return (path for path in self.files if dirname(path) == folder)

    def only_below(self, folder: str) -> Self:
        """The files that have a folder of this name, or these names, on their way."""
        files = {path: size for path, size in self.files.items() if f"/{folder.strip('/')}/" in f"/{path}"}
        return replace(self, files=files)

    def read(self, path: str) -> bytes:
        """DataError if it can't be read."""
        try:
            return (self.location / path).read_bytes()
        except OSError as error:
            raise DataError(f"can't read {self.location / path}: {error.strerror or error}.") from error

    def text(self, path: str) -> str:
        return decoded(self.read(path))

    def read_all(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes | OSError]]:
        """Many small files, in the order of their paths."""
        with ThreadPoolExecutor(READERS) as readers:
            yield from readers.map(self._read_or_error, paths)

    def beginnings(self, paths: Iterable[str], size: int) -> Iterator[tuple[str, bytes]]:
        """The first bytes of files, of those that can be read."""
        with ThreadPoolExecutor(READERS) as readers:
            for path, content in readers.map(lambda path: (path, self._beginning(path, size)), paths):
                if content is not None:
                    yield path, content

    def _beginning(self, path: str, size: int) -> bytes | None:
        try:
            with (self.location / path).open_input() as file:
                return bytes(file.read(size))
        except OSError:
            return None

    def _read_or_error(self, path: str) -> tuple[str, bytes | OSError]:
        try:
            return path, (self.location / path).read_bytes()
        except OSError as error:
            return path, error

    def summary(self) -> str:
        """What lies there, in a few names."""
        top = {path.split("/")[0] + ("/" if "/" in path else "") for path in self.files}
        return listed(sorted(top))


def folder_and_file(location: Location, *, also: Iterable[str] = ()) -> tuple[Location, str | None]:
    """The folder of a source, and the file below it if the user named a file.

    also: names of folders that hold annotations only, so that the folder above them is meant.
    """
    if location.is_directory() or not location.exists():
        return location, None
    folder, file = _above(location), location.name
    return (_above(folder), f"{folder.name}/{file}") if folder.name.lower() in also else (folder, file)


def _above(location: Location) -> Location:
    return replace(location, path=dirname(location.path), shown=dirname(location.shown) or ".")


def decoded(content: bytes) -> str:
    """Text as editors on Linux, macOS and Windows save it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
