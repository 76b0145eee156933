"""What the tests of augmentations share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from trainyard.data.augment.drawing import Block, Share


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more, and the tests share the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def make_block() -> Callable[..., Block]:
    """A block of one part for each slice, with other fields where they are given."""

    def make(steps: int = 1, batch_size: int = 8, **changes: Any) -> Block:
        share = Share(steps=steps, batch_size=batch_size)
        fields = {"seed": 0, "epoch": 1, "first": 0, "steps": steps, "share": share, "part": batch_size}
        return Block(**{**fields, "height": 10, "width": 14, "device": torch.device("cpu"), **changes})

    return make
