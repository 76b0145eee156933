"""What tells weights apart from any others."""

import hashlib
from pathlib import Path

from trainyard.errors import TrialError

DIGEST_BYTES = 1 << 20
"""Of a file that are read at a time."""


def file_digest(file: Path) -> str:
    """SHA-256 of a file of weights. TrialError if it can't be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while part := stream.read(DIGEST_BYTES):
                digest.update(part)
    except FileNotFoundError as error:
        raise TrialError(f"the weights {file}: there is no such file on this machine. Put it there.") from error
    except OSError as error:
        raise TrialError(f"the weights {file} can't be read: {error.strerror or error}.") from error
    return digest.hexdigest()
