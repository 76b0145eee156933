"""Affine maps of whole batches of images. Pure functions of arrays."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Moves:
    """How each of N images is moved: mirrored, then sheared, zoomed and turned about its centre, then shifted.

    mirror: (N, 2), -1 where x (y) is mirrored, else 1. shear, turn: (N,), radians; a turn is clockwise as seen.
    zoom: (N,), above 1 enlarges. shift: (N, 2), to the right and down, as fractions of width and height.
    """

    mirror: np.ndarray
    shear: np.ndarray
    zoom: np.ndarray
    turn: np.ndarray
    shift: np.ndarray


def sampling_maps(moves: Moves, *, height: int, width: int) -> np.ndarray:
    """(N, 2, 3): from a position in the moved image to the one it shows, the theta of torch's affine_grid.

    Positions are (x, y) in units of half a side from the centre. Angles and their order are those of torchvision's
    affine.
    """
    half = np.array([width, height]) / 2
    back = _turned_back(moves) * moves.mirror[:, :, None]
    offset = -np.einsum("nij,nj->ni", back, moves.shift * half * 2)
    return np.concatenate([back * half / half[:, None], (offset / half)[:, :, None]], axis=2)


def _turned_back(moves: Moves) -> np.ndarray:
    """(N, 2, 2): the inverse of turn x shear x zoom, in pixels."""
    cos, sin, slope = np.cos(moves.turn), np.sin(moves.turn), np.tan(moves.shear)
    inverse = np.array([[cos - slope * sin, sin + slope * cos], [-sin, cos]]) / moves.zoom
    return np.moveaxis(inverse, 2, 0)
