"""Tones of images: curves and histograms of their channels. As in colour: in place, each sample by itself."""

import torch
from torch import Tensor

from trainyard.data.augment.colour import each

LEVELS = 256
"""In a histogram."""


def posterize(images: Tensor, levels: Tensor) -> None:
    """levels: a power of 2."""
    levels = each(levels)
    torch.minimum(images.mul_(levels).floor_(), levels - 1, out=images).div_(levels)


def solarize(images: Tensor, thresholds: Tensor) -> None:
    # As 1 or 0, of which the distance is 1 - x or x: torch.where takes ten times as long on a CPU.
    beyond = torch.ge(images, each(thresholds), out=torch.empty_like(images))
    torch.sub(beyond, images, out=images).abs_()


def autocontrast(images: Tensor, _: Tensor) -> None:
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    flat = low == high
    images.sub_(low.masked_fill(flat, 0)).div_((high - low).masked_fill(flat, 1)).clamp_(0, 1)


def equalize(images: Tensor, _: Tensor) -> None:
    """PIL's table for each channel, as in torchvision, which rounds the images to 256 levels too."""
    # The factor of torchvision's conversion from floats.
    levels = (images * (LEVELS - 1e-3)).int().flatten(2).long()
    ones = torch.ones_like(levels, dtype=torch.int32)
    histogram = ones.new_zeros((*levels.shape[:2], LEVELS)).scatter_add_(2, levels, ones)
    table = _equalizing(histogram)
    images.copy_(table.gather(2, levels).view_as(images))


def _equalizing(histogram: Tensor) -> Tensor:
    """What each level becomes, float (n, C, LEVELS), from how often it occurs, int (n, C, LEVELS)."""
    up_to = histogram.cumsum(2)
    pixels = up_to[..., -1:]
    brightest = histogram.gather(2, (up_to == pixels).int().argmax(dim=2, keepdim=True))
    step = (pixels - brightest).div_(LEVELS - 1, rounding_mode="floor")
    below = up_to - histogram
    table = (below + step // 2).div_(step.clamp_min(1), rounding_mode="floor").clamp_(0, LEVELS - 1)
    unchanged = torch.arange(LEVELS, device=histogram.device)
    return torch.where(step == 0, unchanged, table).float().div_(LEVELS - 1)
