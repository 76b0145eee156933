"""The precision of the forward pass, and the loss scaling that float16 needs."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """Runs the forward pass in the job's precision. Parameters, gradients and losses stay float32.

    float16 on a GPU scales the loss so that small gradients don't vanish, and skips a step whose gradients overflow.
    """

    def __init__(self, name: Literal["float32", "bfloat16", "float16"], device: torch.device) -> None:
        self.name = name
        self._device = device
        self._dtype = DTYPES.get(name)
        self._scaler = torch.amp.GradScaler(device.type) if name == "float16" and device.type == "cuda" else None

    @property
    def skips(self) -> bool:
        """Whether steps with infinite gradients are left out."""
        return self._scaler is not None

    def forward_pass(self) -> AbstractContextManager[None]:
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device.type, self._dtype)

    def backward(self, loss: Tensor) -> None:
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Before gradients are looked at."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    def state(self) -> dict[str, Any]:
        return {} if self._scaler is None else self._scaler.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Another precision's state leaves the scale at its start."""
        if self._scaler is not None and state:
            self._scaler.load_state_dict(state)
