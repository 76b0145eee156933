"""A trial's place among its workers."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Member:
    """Which of a trial's workers this is, and the device it trains on.

    With more than one worker, torch's default process group has been initialised by whoever makes a Member, with as
    many processes, in the same order.
    """

    rank: int = 0
    workers: int = 1
    device: str = "cpu"

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)
