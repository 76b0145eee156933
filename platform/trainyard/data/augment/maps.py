"""Affine maps of images: where the points of an image go. Pure functions of arrays.

A map is (N, 3, 3), one for each image, and takes (x, y, 1) to where it goes. Points are in pixels: (0, 0) is the outer
corner of the first pixel, (width, height) that of the last. Angles and their signs are those of torchvision's affine.
"""

from functools import reduce

import numpy as np


def unmoved(images: int) -> np.ndarray:
    return np.broadcast_to(np.eye(3), (images, 3, 3))


def mirrored(horizontally: np.ndarray, vertically: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Arguments: bool (N,)."""
    x, y = np.where(horizontally, -1.0, 1.0), np.where(vertically, -1.0, 1.0)
    return _affine(x, 0, np.where(horizontally, width, 0.0), 0, y, np.where(vertically, height, 0.0))


def shifted(right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Arguments: pixels (N,)."""
    return _affine(1, 0, right, 0, 1, down)


def zoomed(factor: np.ndarray) -> np.ndarray:
    """About the corner (0, 0). Above 1 enlarges."""
    return _affine(factor, 0, 0, 0, factor, 0)


def turned(radians: np.ndarray) -> np.ndarray:
    """About the corner (0, 0), clockwise as seen."""
    cos, sin = np.cos(radians), np.sin(radians)
    return _affine(cos, -sin, 0, sin, cos, 0)


def sheared(horizontally: np.ndarray, vertically: np.ndarray) -> np.ndarray:
    """About the corner (0, 0), first horizontally, then vertically. Arguments: slopes (N,), the tangents of angles."""
    return _affine(1, -horizontally, 0, -vertically, 1 + horizontally * vertically, 0)


def enlarged(edges: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """The part within these edges, (N, 4) left, top, right and bottom in pixels, becomes the whole image."""
    left, top, right, bottom = edges.T
    x, y = width / (right - left), height / (bottom - top)
    return _affine(x, 0, -left * x, 0, y, -top * y)


def about_centre(maps: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Maps about the corner (0, 0), made to be about the centre of the image."""
    x, y = np.full(len(maps), width / 2), np.full(len(maps), height / 2)
    return composed(shifted(-x, -y), maps, shifted(x, y))


def composed(*maps: np.ndarray) -> np.ndarray:
    """One after the other, the first first."""
    return reduce(lambda done, following: following @ done, maps)


def inverse(maps: np.ndarray) -> np.ndarray:
    """From where a point has gone back to where it was."""
    (a, b, right), (c, d, down) = np.moveaxis(maps[:, :2], 0, 2)
    area = a * d - b * c
    a, b, c, d = d / area, -b / area, -c / area, a / area
    return _affine(a, b, -(a * right + b * down), c, d, -(c * right + d * down))


def in_half_sides(maps: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """(N, 2, 3): the same for points in units of half a side from the centre, as torch's grid_sample has them."""
    x, y = np.array([2 / width, 0, -1]), np.array([0, 2 / height, -1])
    there = np.stack([x, y, [0, 0, 1]])
    return (there @ maps @ np.linalg.inv(there))[:, :2]


def _affine(*entries: np.ndarray | float) -> np.ndarray:
    """From the entries of the first two rows, of which one at least is an array (N,)."""
    rows = np.stack(np.broadcast_arrays(*entries, 0.0, 0.0, 1.0), axis=-1)
    return rows.reshape(*rows.shape[:-1], 3, 3)
