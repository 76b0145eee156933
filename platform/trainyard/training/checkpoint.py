"""States as files and as bytes. They are data: tensors and plain values, never a pickle that could run code."""

import hashlib
import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainyard.errors import RunError

MAGIC = b"trainyard state 1\n"
"""How a state's bytes begin; the SHA-256 of the rest follows, then what torch.save writes."""

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
        raise RunError(f"{source} is damaged: it isn't what was written. Go on from an older checkpoint.")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise RunError(f"{source} can't be read: {error}.") from error
    assert isinstance(state, dict)
    return state


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint as a whole or not at all: what was at `path` stays until the new one is on the disk."""
    aside = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No fsync, which takes up to 40 ms: what a power cut leaves of the file is recognised by its digest.
        aside.write_bytes(to_bytes(state))
        aside.replace(path)
    except OSError as error:
        raise RunError(
            f"can't write the checkpoint {path}: {error.strerror or error}. Make room, or choose another --results; "
            "then resume."
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def load_state(path: Path) -> dict[str, Any]:
    """RunError naming the file if it is missing, unreadable or damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"can't read the checkpoint {path}: {error.strerror or error}.") from error
    return from_bytes(data, source=f"the checkpoint {path}")


def copied_to_cpu(state: Any) -> Any:
    """A state whose tensors are copies, on the CPU: what goes on training doesn't change it."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {name: copied_to_cpu(value) for name, value in state.items()}
    return [copied_to_cpu(value) for value in state] if isinstance(state, list) else state
