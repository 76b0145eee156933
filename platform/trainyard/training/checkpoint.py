"""States as files and as bytes. They are data: tensors and plain values, never a pickle that could run code."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainyard.data.location import Location
from trainyard.errors import DataError, RunError
from trainyard.models.states import from_bytes, to_bytes

__all__ = ["copied_to_cpu", "from_bytes", "load_state", "save_state", "to_bytes"]


PAUSES = (1.0, 3.0, 9.0, 27.0)
"""Seconds between the tries to write to a bucket that does not take it: as long as a moment's trouble of a network
lasts. The client of the bucket itself has tried several times by then."""


def save_state(place: Location | Path, state: dict[str, Any]) -> None:
    """Write a checkpoint as a whole or not at all: what was there stays until the new one is.

    RunError where the disk refuses, or a bucket does for longer than a moment.
    """
    place = Location.of(place)
    try:
        # No fsync, which takes up to 40 ms: what a power cut leaves of the file is recognised by its digest.
        _write(place, to_bytes(state))
    except OSError as error:
        raise RunError(
            f"can't write the checkpoint {place}: {error.strerror or error}. Make room, or choose another --results; "
            "then resume."
        ) from error
    except DataError as error:
        raise RunError(f"can't write the checkpoint: {error} Mend that; then resume.") from error


def _write(place: Location, data: bytes) -> None:
    for pause in PAUSES:
        try:
            place.write_bytes(data)
            return
        except DataError:  # of buckets only
            time.sleep(pause)
    place.write_bytes(data)


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
