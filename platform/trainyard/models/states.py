"""The state of a trial as bytes: tensors and plain values with a digest, never a pickle that could run code."""

import hashlib
import io
import pickle
from typing import Any

import torch

from trainyard.errors import RunError

MAGIC = b"trainyard state 2\n"
"""How a state's bytes begin. The number is that of what a state holds; the SHA-256 of the rest follows, then what
torch.save writes."""

_DIGEST_SIZE = hashlib.sha256().digest_size


def to_bytes(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    return MAGIC + hashlib.sha256(content).digest() + content


def from_bytes(data: bytes, source: str = "the state of a trial") -> dict[str, Any]:
    """The state, its tensors on the CPU. RunError naming `source` if a byte of it is missing or changed."""
    start = len(MAGIC) + _DIGEST_SIZE
    digest, content = data[len(MAGIC) : start], data[start:]
    if not data.startswith(MAGIC) or hashlib.sha256(content).digest() != digest:
        raise RunError(
            f"{source} is damaged, or of another version of trainyard: it isn't what is written here. Go on from an "
            "older checkpoint, or begin anew."
        )
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise RunError(f"{source} can't be read: {error}.") from error
    assert isinstance(state, dict)
    return state
