"""Images smoothed and sharpened. As in colour: in place, each sample by itself."""

import math

import numpy as np
from torch import Tensor
from torch.nn import functional

from trainyard.data.augment.colour import each


def sharpness(images: Tensor, factors: Tensor) -> None:
    """Mixed with the image smoothed over 3x3 pixels, the middle one weighing 5, (1 - factor) of it; as in torchvision
    not at the edges."""
    if min(images.shape[2:]) < 3:
        return
    middle = images[..., 1:-1, 1:-1]
    rows = images[..., :-2, :] + images[..., 1:-1, :]
    rows.add_(images[..., 2:, :])
    smooth = rows[..., :-2] + rows[..., 1:-1]
    smooth.add_(rows[..., 2:]).add_(middle * 4).div_(13)
    middle.add_(smooth.sub_(middle).mul_(each(1 - factors)))
    images.clamp_(0, 1)


def blur(images: Tensor, weights: Tensor, *, radii: tuple[int, int]) -> None:
    """weights: (n, ...) from blur_weights. radii: from blur_radii."""
    across, down = weights.split([radius + 1 for radius in radii], dim=1)
    images.copy_(_smoothed(_smoothed(images, across, dim=3), down, dim=2))


def blur_radii(largest_sigma: float, *, height: int, width: int) -> tuple[int, int]:
    """How many pixels away, across and down, a Gaussian is cut off: at three standard deviations, and within what a
    mirror image at the edges can give."""
    radius = math.ceil(3 * largest_sigma)
    return min(radius, width - 1), min(radius, height - 1)


def blur_weights(sigmas: np.ndarray, radii: tuple[int, int]) -> np.ndarray:
    """Of the Gaussians of some standard deviations (N,), (N, the sum of radius + 1 for both axes)."""
    return np.concatenate([_gaussian(sigmas, radius) for radius in radii], axis=1)


def _gaussian(sigmas: np.ndarray, radius: int) -> np.ndarray:
    """(N, radius + 1): of the middle pixel and of those on either side of it. All of them sum up to 1."""
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigmas[:, None]) ** 2)
    return weights / (2 * weights.sum(axis=1, keepdims=True) - weights[:, :1])


def _smoothed(images: Tensor, weights: Tensor, *, dim: int) -> Tensor:
    radius, side = weights.shape[1] - 1, images.shape[dim]
    edges = [radius, radius, 0, 0] if dim == 3 else [0, 0, radius, radius]
    padded = functional.pad(images, edges, mode="reflect")
    total = padded.narrow(dim, radius, side) * each(weights[:, :1])
    for away in range(1, radius + 1):
        pair = padded.narrow(dim, radius - away, side) + padded.narrow(dim, radius + away, side)
        total.add_(pair.mul_(each(weights[:, away : away + 1])))
    return total
