"""What the tests of augmentations share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainyard.data.augment.drawing import Block, Share


@pytest.fixture(scope="session")
def make_block() -> Callable[..., Block]:
    """A block of one part for each slice, with other fields where they are given."""

    def make(steps: int = 1, batch_size: int = 8, **changes: Any) -> Block:
        share = Share(steps=steps, batch_size=batch_size)
        fields = {"seed": 0, "epoch": 1, "first": 0, "steps": steps, "share": share, "part": batch_size}
        return Block(**{**fields, "height": 10, "width": 14, "device": torch.device("cpu"), **changes})

    return make
