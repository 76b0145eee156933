"""States as files and as bytes. They are data: tensors and plain values, never a pickle that could run code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainyard.data.location import Location, patiently
from trainyard.errors import DataError, RunError
from trainyard.models.states import from_bytes, to_bytes

__all__ = ["copied_to_cpu", "from_bytes", "load_state", "save_state", "to_bytes"]


def save_state(place: Location | Path, state: dict[str, Any]) -> None:
    """Write a checkpoint as a whole or not at all: what was there stays until the new one is.

    RunError where the disk refuses, or a bucket does for longer than a moment.
    """
    place = Location.of(place)
    try:
        # No fsync, which takes up to 40 ms: what a power cut leaves of the file is recognised by its digest.
        data = to_bytes(state)
        patiently(lambda: place.write_bytes(data))
    except OSError as error:
        raise RunError(
            f"can't write the checkpoint {place}: {error.strerror or error}. Make room, or choose another --results; "
            "then resume."
        ) from error
    except DataError as error:
        raise RunError(f"can't write the checkpoint: {error} Mend that; then resume.") from error


def load_state(place: Location | Path) -> dict[str, Any]:
    """RunError naming the file if it is missing, unreadable or damaged."""
    place = Location.of(place)
    try:
        data = place.read_bytes()
    except (OSError, DataError) as error:
        raise RunError(
            f"can't read the checkpoint {place}: {str(getattr(error, 'strerror', None) or error).rstrip('.')}."
        ) from error
    return from_bytes(data, source=f"the checkpoint {place}")


def copied_to_cpu(state: Any) -> Any:
    """A state whose tensors are copies, on the CPU: what goes on training doesn't change it."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {name: copied_to_cpu(value) for name, value in state.items()}
    return [copied_to_cpu(value) for value in state] if isinstance(state, list) else state
