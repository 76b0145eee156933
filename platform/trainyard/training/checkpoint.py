"""States as files and as bytes. They are data: tensors and plain values, never a pickle that could run code."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainyard.errors import RunError
from trainyard.models.states import from_bytes, to_bytes

__all__ = ["copied_to_cpu", "from_bytes", "load_state", "save_state", "to_bytes"]


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
