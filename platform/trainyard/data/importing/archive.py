"""Archives: unpacked where they can do no harm, for as long as they are read."""

import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Self

from trainyard.data.importing.scratch import scratch_folder
from trainyard.data.importing.splitting import USUAL_NAMES, usual_name
from trainyard.data.location import Location
from trainyard.errors import DataError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = (".zip", *TAR_SUFFIXES)

SPARE_BYTES = 256 << 20
"""That unpacking leaves free on the disk."""

CHUNK_BYTES = 1 << 20

DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
"""What the standard library raises for archives that it can't read. RuntimeError: encrypted."""


def is_archive(place: Location) -> bool:
    """By its name."""
    return place.name.lower().endswith(SUFFIXES)


@contextmanager
def unpacked(place: Location) -> Iterator[Location]:
    """The folder with an archive's files, in a temporary place that goes away; anything else as it is.

    If all files are in one folder with folders of its own, then that one. DataError for an archive that is damaged, or
    encrypted, that would write outside the folder, or that holds more than the disk can.
    """
    if not is_archive(place) or place.is_directory():
        yield place
        return
    with scratch_folder() as folder:
        root = folder / "files"
        root.mkdir()
        try:
            archive = _fetched(place, folder)
            _unpack(archive, root, str(place))
            _date(root, archive.stat().st_mtime_ns)
        except DAMAGED as error:
            raise DataError(f"{place} can't be unpacked: {error or 'it is truncated'}.") from error
        except FileNotFoundError as error:
            raise DataError(f"{place} does not exist. Name the archive, folder or file to import.") from error
        except OSError as error:
            # Without a number it is bz2's, for damaged content.
            where = "" if error.errno is None else f" to {folder}"
            raise DataError(f"{place} can't be unpacked{where}: {error.strerror or error}.") from error
        yield _innermost(replace(Location.of(root), shown=str(place)))


def _fetched(place: Location, folder: Path) -> Path:
    """The archive on a local disk, with the time of its last change."""
    if place.local:
        return place.local
    copy = folder / f"archive-{place.name}"
    with place.open_input() as stream, copy.open("wb") as file:
        _Room(folder, str(place)).take(stream.size())
        while chunk := stream.read(CHUNK_BYTES):
            file.write(chunk)
    changed = place.changed()
    os.utime(copy, ns=(changed, changed))
    return copy


def _date(root: Path, changed: int) -> None:
    """Its files changed when the archive did: unpacked again, they are taken for the same ones."""
    for folder, _, files in os.walk(root):
        for file in files:
            os.utime(os.path.join(folder, file), ns=(changed, changed))


class _Room:
    """Counts what may still be written."""

    def __init__(self, folder: Path, archive: str) -> None:
        self._left = shutil.disk_usage(folder).free - SPARE_BYTES
        self._folder = folder
        self._archive = archive

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise DataError(
                f"{self._archive} holds more than the disk of {self._folder.parent} has room for. Make room, name "
                "another temporary folder (TMPDIR), or unpack it yourself and name the folder."
            )


def _unpack(archive: Path, root: Path, shown: str) -> None:
    room = _Room(root, shown)
    if archive.name.lower().endswith(".zip"):
        _unpack_zip(archive, root, room.take)
    else:
        _unpack_tar(archive, root, room.take)


def _unpack_zip(archive: Path, root: Path, take: Callable[[int], None]) -> None:
    """Never more than the sizes that are stated: zipfile reads no further.

    Some tools of Windows write `\\` between folders.
    """
    with zipfile.ZipFile(archive) as files:
        for member in files.infolist():
            _check_name(member.filename)
            take(member.file_size)
            member.filename = member.filename.replace("\\", "/")
        for member in files.infolist():
            files.extract(member, root)


def _unpack_tar(archive: Path, root: Path, take: Callable[[int], None]) -> None:
    """Links become copies: no link, no way out of the folder through one."""
    with tarfile.open(archive, tarinfo=_Member) as files:
        for member in files:
            _check_name(member.name)
            if member.issym() or member.islnk():
                _copy_linked(files, member, root, take)
            elif member.isfile() or member.isdir():
                take(member.size)
                files.extract(member, root, filter="data")
        # tarfile stops at the last member; what the compression says of damage comes after that.
        while files.fileobj and files.fileobj.read(CHUNK_BYTES):
            pass


class _Member(tarfile.TarInfo):
    """A member's header. Where one is damaged tarfile takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError, tarfile.SubsequentHeaderError):  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"the header at byte {tarfile_.offset:,} is damaged ({error})") from error


def _copy_linked(files: tarfile.TarFile, link: tarfile.TarInfo, root: Path, take: Callable[[int], None]) -> None:
    try:
        content = files.extractfile(link)
    except KeyError:
        return  # It points to nothing in the archive.
    if content is None:
        return
    target = root / link.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        while chunk := content.read(CHUNK_BYTES):
            take(len(chunk))
            file.write(chunk)


def _check_name(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0:1]:
        raise tarfile.OutsideDestinationError(tarfile.TarInfo(name), name)


def _innermost(folder: Location) -> Location:
    """Archives are often made of one folder that holds all; a split's or a class's is not that."""
    while folders := folder.folders():
        inner = folder / folders[0]
        files = [found for found in folder.walk() if "/" not in found.path]
        if len(folders) > 1 or files or usual_name(folders[0]) in USUAL_NAMES or not inner.folders():
            break
        folder = inner
    return folder
