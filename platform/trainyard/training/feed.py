"""Batches of a split on the device of the model."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from trainyard.data.columns import Columns
from trainyard.tasks.task import Batch

SHARE_OF_FREE_MEMORY = 0.4
"""A split moves to the GPU as a whole if it takes no more than this share of what is free."""


class Feed:
    """Gathers batches by row, the images as float32 in [0, 1].

    On a CPU rows are copied out of the columns, which may be read-only memory shared with other processes. On a GPU the
    columns move there once if they fit; if not, batches travel through pinned memory.
    """

    def __init__(self, columns: Columns, device: torch.device) -> None:
        self._columns = columns
        self._device = device
        self._resident = _moved(columns, device) if _fits(columns, device) else None

    def batches(self, rows: Sequence[np.ndarray] | np.ndarray) -> Iterator[Batch]:
        """A batch for each array of rows."""
        gathered = self._from_host(rows) if self._resident is None else self._from_device(rows, self._resident)
        for batch in gathered:
            yield {**batch, "image": _unit_range(batch["image"])}

    def _from_host(self, rows: Sequence[np.ndarray] | np.ndarray) -> Iterator[dict[str, Tensor]]:
        for own in rows:
            batch = {name: torch.from_numpy(column.take(own, axis=0)) for name, column in self._columns.items()}
            if self._device.type == "cuda":
                batch = {name: value.pin_memory().to(self._device, non_blocking=True) for name, value in batch.items()}
            yield batch

    def _from_device(
        self, rows: Sequence[np.ndarray] | np.ndarray, columns: dict[str, Tensor]
    ) -> Iterator[dict[str, Tensor]]:
        # One copy of all the row numbers, as each copy from the host would wait for it.
        indexes = torch.from_numpy(np.concatenate(rows)).to(self._device)
        for own in indexes.split([len(part) for part in rows]):
            yield {name: column.index_select(0, own) for name, column in columns.items()}


def _fits(columns: Columns, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return sum(column.nbytes for column in columns.values()) <= SHARE_OF_FREE_MEMORY * free


def _moved(columns: Columns, device: torch.device) -> dict[str, Tensor]:
    return {name: _copied(column, device) for name, column in columns.items()}


def _copied(column: np.ndarray, device: torch.device) -> Tensor:
    """In parts, each copied on the host first: torch warns about tensors over read-only memory."""
    first = torch.from_numpy(column[:1].copy())
    moved = torch.empty(column.shape, dtype=first.dtype, device=device)
    for row in range(0, len(column), 4096):
        moved[row : row + 4096] = torch.from_numpy(column[row : row + 4096].copy())
    return moved


def _unit_range(image: Tensor) -> Tensor:
    return image / 255 if image.dtype == torch.uint8 else image.to(torch.float32)
