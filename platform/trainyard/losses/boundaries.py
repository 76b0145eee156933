"""Where the class of a mask's pixels changes."""

import torch
from torch import Tensor
from torch.nn import functional

from trainyard.losses.answer import IGNORED


def near_boundaries(target: Tensor, width: int) -> Tensor:
    """Which pixels have a pixel of another class within `width` rows and columns, bool (N, H, W).

    target: class indexes or IGNORED, int64 (N, H, W). A pixel without a class is near none and makes none.
    """
    void = target == IGNORED
    classes = target.float()
    largest = _largest_around(classes.masked_fill(void, -torch.inf), width)
    smallest = -_largest_around((-classes).masked_fill(void, -torch.inf), width)
    return (largest != smallest) & ~void


def _largest_around(values: Tensor, width: int) -> Tensor:
    """Over the square around each pixel: along its row and then along its column, which takes 2 k steps and not k²."""
    side = 2 * width + 1
    by_row = functional.max_pool2d(values.unsqueeze(1), (1, side), stride=1, padding=(0, width))
    return functional.max_pool2d(by_row, (side, 1), stride=1, padding=(width, 0))[:, 0]
