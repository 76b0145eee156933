"""Arrays of images and labels in a numpy archive, brought into the form of an import."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from trainyard.data.location import Location

_LOCAL_HEADER = 30
"""Bytes of a zip member's own header, before its name."""


def array_shapes(file: Location) -> dict[str, tuple[int, ...]]:
    """Name to shape. ValueError for what is no numpy archive, or a damaged one: all of it is read once."""
    shapes = {}
    with _opened(file) as stream, _archive(stream) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as array:
                    shapes[member.removesuffix(".npy")] = _header(array)[0]
                    while array.read(1 << 20):
                        """At the end the checksum is compared."""
    return shapes


@lru_cache(maxsize=8)
def load_images(file: Location, name: str) -> np.ndarray:
    """uint8 (N, H, W) or (N, H, W, C). Kept, as rows are read one at a time; what lies uncompressed on a local disk is
    mapped, so that processes share it.

    ValueError, with a reason in words, for what is no array of images.
    """
    images = _bytes(_load(file, name))
    if images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3)):
        return images
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return np.moveaxis(images, 1, 3)
    raise ValueError(f"images must be (N, height, width) or (N, height, width, 1 or 3), got {images.shape}")


def load_labels(file: Location, name: str) -> np.ndarray:
    """int64 (N,), also from (N, 1) and from rows of zeros with a single one. ValueError for anything else."""
    labels = _load(file, name)
    if labels.dtype.kind not in "uifb" or (labels.dtype.kind == "f" and not np.array_equal(labels, np.rint(labels))):
        raise ValueError(f"labels must be whole numbers, got {labels.dtype}")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        labels = labels.argmax(axis=1)
    if labels.ndim != 1:
        raise ValueError(f"labels must be one for each image, (N,), got {labels.shape}")
    return labels.astype(np.int64)


def load_names(file: Location, name: str) -> tuple[str, ...] | None:
    """The texts of an array, None if it holds something else."""
    names = _load(file, name)
    return tuple(map(str, names.tolist())) if names.dtype.kind == "U" and names.ndim == 1 else None


def _bytes(images: np.ndarray) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "uif" or not images.size:
        raise ValueError(f"images must be numbers from 0 to 255, got {images.dtype} {images.shape}")
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 255) or (images.dtype.kind == "f" and not np.array_equal(images, np.rint(images))):
        raise ValueError(
            f"pixels must be whole numbers from 0 to 255, got {images.dtype} from {low:.4g} to {high:.4g}. Convert "
            "them: (images * 255).round().astype('uint8') for values from 0 to 1"
        )
    return images.astype(np.uint8)


def _load(file: Location, name: str) -> np.ndarray:
    """ValueError for an array of Python objects."""
    with _opened(file) as stream, _archive(stream) as archive:
        member = archive.getinfo(f"{name}.npy")
        if file.local and member.compress_type == zipfile.ZIP_STORED:
            return _mapped(file.local, stream, member.header_offset)
        with archive.open(member) as array:
            return np.lib.format.read_array(array, allow_pickle=False)


def _mapped(path: Path, stream: IO[bytes], header_offset: int) -> np.ndarray:
    stream.seek(header_offset + _LOCAL_HEADER - 4)
    name, extra = struct.unpack("<HH", stream.read(4))
    stream.seek(header_offset + _LOCAL_HEADER + name + extra)
    shape, in_columns, dtype = _header(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, mode="r", offset=stream.tell(), shape=shape, order="F" if in_columns else "C")


def _header(array: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    major, _ = np.lib.format.read_magic(array)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    return read(array)


@contextmanager
def _archive(stream: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(stream) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise ValueError(f"it is no numpy archive, or a damaged one ({error})") from error


def _opened(file: Location) -> IO[bytes]:
    return open(file.local, "rb") if file.local else io.BytesIO(file.read_bytes())
