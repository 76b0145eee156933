"""What tells weights apart from any others."""

import hashlib
from functools import lru_cache
from pathlib import Path

from trainyard.models.hub import readable

DIGEST_BYTES = 1 << 20
"""Of a file that are read at a time."""


def file_digest(file: Path) -> str:
    """SHA-256 of a file of weights, read once by a process while the file stays as it is. StorageError if it
    can't be read."""
    with readable(file):
        facts = file.stat()
        return _digest(file.resolve(), facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=16)
def _digest(file: Path, size: int, modified: int) -> str:
    """size, modified: tell the states of a file apart."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while part := stream.read(DIGEST_BYTES):
            digest.update(part)
    return digest.hexdigest()
