"""The idx format of the MNIST site: arrays of up to four dimensions, plain or gzipped (LeCun, Cortes and Burges)."""

import gzip
import zlib
from functools import lru_cache

import numpy as np

from trainyard.data.location import Location

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"


@lru_cache(maxsize=16)
def load_idx(file: Location) -> np.ndarray:
    """The array, read-only. It is kept, as a source is read row by row; a plain file on a local disk is mapped, so that
    processes share it.

    OSError, or ValueError with a reason in words, for what can't be read or is no idx file or a truncated one.
    """
    if file.local:
        with open(file.local, "rb") as stream:
            plain = not stream.read(2).startswith(_GZIP)
        if plain and file.local.stat().st_size:
            return parse_idx(np.memmap(file.local, np.uint8, mode="r"))
    return parse_idx(np.frombuffer(_unpacked(file.read_bytes()), np.uint8))


def parse_idx(content: np.ndarray) -> np.ndarray:
    """content: the bytes of the file, uint8 (N,)."""
    start = content[:20].tobytes()
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not 1 <= start[3] <= 4:
        raise ValueError(f"it is no idx file: it begins with {start[:4].hex(' ') or 'nothing'}")
    dtype, axes = np.dtype(_TYPES[start[2]]), start[3]
    header = 4 + 4 * axes
    if len(content) < header:
        raise ValueError("it is truncated: it ends in its header")
    shape = tuple(np.frombuffer(start, ">u4", count=axes, offset=4).tolist())
    expected = header + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(content) != expected:
        what = "truncated" if len(content) < expected else "longer than it should be"
        raise ValueError(f"it is {what}: it has {len(content):,} bytes, its shape {shape} takes {expected:,}")
    return content[header:].view(dtype).reshape(shape)


def _unpacked(content: bytes) -> bytes:
    """gzip by its first bytes, not by its name: browsers unpack files and leave their names."""
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"the gzip file is truncated or damaged ({error})") from error
