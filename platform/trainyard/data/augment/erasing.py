"""Rectangles of images replaced. Masks and boxes stay: what is hidden is still there."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainyard.data.augment import rectangles
from trainyard.data.augment.drawing import Block, Drawn
from trainyard.spec.augmentations import Cutout, RandomErasing


def erase(images: Tensor, rectangles: Tensor, *, fill: float) -> None:
    """Fill, in place, of each of n images (n, C, H, W) the rectangles (n, R, 4) left, top, right, bottom in whole
    pixels."""
    if images.device.type == "cpu":
        for pixels in _views(images, rectangles):
            pixels[:] = fill
    else:
        for holes in rectangles.unbind(1):
            images.masked_fill_(inside(holes, *images.shape[2:]), fill)


def paste(images: Tensor, others: Tensor, rectangles: Tensor) -> None:
    """Replace, in place, of each of n images (n, C, H, W) the rectangles (n, R, 4) by those of another."""
    if images.device.type == "cpu":
        for pixels, others_pixels in zip(_views(images, rectangles), _views(others, rectangles), strict=True):
            pixels[:] = others_pixels
    else:
        for holes in rectangles.unbind(1):
            images.copy_(torch.where(inside(holes, *images.shape[2:]), others, images))


def _views(images: Tensor, rectangles: Tensor) -> Iterator[np.ndarray]:
    """The pixels of each rectangle. On a CPU slices take a tenth of a mask's time."""
    for image, holes in zip(images.numpy(), rectangles.int().tolist(), strict=True):
        for left, top, right, bottom in holes:
            yield image[:, top:bottom, left:right]


def inside(rectangles: Tensor, height: int, width: int) -> Tensor:
    """Which pixels are within rectangles (n, 4), bool (n, 1, H, W)."""
    left, top, right, bottom = rectangles[:, :, None].unbind(1)
    x = torch.arange(width, device=rectangles.device)
    y = torch.arange(height, device=rectangles.device)
    across, down = (x >= left) & (x < right), (y >= top) & (y < bottom)
    return (down[:, :, None] & across[:, None, :])[:, None]


def drawn_erasing(erasing: RandomErasing, block: Block) -> Drawn:
    """One rectangle each, of whole pixels, for samples in which one of the drawn size has its place."""
    stream = block.stream("random_erasing")
    happens = stream.happens(erasing.p)
    areas, ratios = (erasing.area_low, erasing.area_high), (erasing.ratio_low, erasing.ratio_high)
    edges, found = rectangles.by_area(stream, block, areas=areas, ratios=ratios)
    return Drawn(happens & found, np.rint(edges)[:, None], block)


def drawn_cutout(cutout: Cutout, block: Block) -> Drawn:
    stream = block.stream("cutout")
    happens = stream.happens(cutout.p)
    side = cutout.fraction * min(block.height, block.width)
    centres = stream.uniform(0, 1, cutout.holes, 2)
    return Drawn(happens, rectangles.about(centres, np.full(2, side), block), block)
