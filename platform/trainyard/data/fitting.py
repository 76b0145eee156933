"""How an image gets to another size, and its mask and boxes with it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from trainyard.data.manifest import VOID

Resize = Literal["stretch", "pad", "crop"]

DRAFT_FROM = 2
"""A JPEG is decoded at a half, a quarter or an eighth of its size as long as it stays so many times larger than asked
for: with less left to average, edges would differ from those of a full decoding."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A part of an image, scaled into a part of a canvas.

    source: (left, top, right, bottom) of the part that is shown, in the image's pixels. size: (height, width) to which
    it is scaled. corner: (top, left) of where it goes. canvas: (height, width) of the whole.
    """

    source: tuple[float, float, float, float]
    size: tuple[int, int]
    corner: tuple[int, int]
    canvas: tuple[int, int]


def fit(size: tuple[int, int], canvas: tuple[int, int], resize: Resize) -> Fit:
    """size, canvas: (height, width). stretch: the whole image fills the canvas. pad: the whole image, its sides in
    proportion, in the middle of the canvas. crop: the middle of the image, in proportion, fills the canvas."""
    (height, width), (rows, columns) = size, canvas
    whole = (0.0, 0.0, float(width), float(height))
    if resize == "pad":
        scale = min(rows / height, columns / width)
        inner = (min(rows, max(1, round(height * scale))), min(columns, max(1, round(width * scale))))
        corner = ((rows - inner[0]) // 2, (columns - inner[1]) // 2)
        return Fit(source=whole, size=inner, corner=corner, canvas=canvas)
    if resize == "crop":
        scale = max(rows / height, columns / width)
        shown_height, shown_width = min(height, rows / scale), min(width, columns / scale)
        top, left = (height - shown_height) / 2, (width - shown_width) / 2
        middle = (left, top, left + shown_width, top + shown_height)
        return Fit(source=middle, size=canvas, corner=(0, 0), canvas=canvas)
    return Fit(source=whole, size=canvas, corner=(0, 0), canvas=canvas)


def drafted(picture: Image.Image, way: Fit) -> Fit:
    """Have a JPEG that is much larger than asked for decoded at a fraction of its size; the fit for what comes out."""
    if picture.format != "JPEG":
        return way
    left, top, right, bottom = way.source
    width, height = picture.size
    # What draft compares is the whole image, of which a part may be asked for.
    wanted = (DRAFT_FROM * way.size[1] * width / (right - left), DRAFT_FROM * way.size[0] * height / (bottom - top))
    drawn = picture.draft("", (max(1, int(wanted[0])), max(1, int(wanted[1]))))
    if drawn is None:
        return way
    # A side that isn't divisible is rounded up: its last pixel shows what isn't there.
    scale = drawn[1][2] / width
    source = (left * scale, top * scale, right * scale, bottom * scale)
    return Fit(source=source, size=way.size, corner=way.corner, canvas=way.canvas)


def fitted_image(picture: Image.Image, way: Fit) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3), bilinear with anti-aliasing; black where the canvas shows nothing."""
    return _placed(picture, way, Image.Resampling.BILINEAR, fill=0)


def fitted_mask(mask: np.ndarray, way: Fit) -> np.ndarray:
    """uint8 (H, W), the nearest pixel's class; VOID where the canvas shows nothing."""
    return _placed(Image.fromarray(mask), way, Image.Resampling.NEAREST, fill=VOID)


def fitted_boxes(corners: np.ndarray, way: Fit) -> tuple[np.ndarray, np.ndarray]:
    """float32 (M, 4) in the canvas's pixels, cut off at its edges; and bool (M,), whether anything is left of each."""
    left, top, right, bottom = way.source
    (height, width), (down, across) = way.size, way.corner
    scale = np.array([width / (right - left), height / (bottom - top)] * 2)
    moved = (corners - np.array([left, top] * 2)) * scale + np.array([across, down] * 2)
    edge = np.array([way.canvas[1], way.canvas[0]] * 2)
    moved = moved.clip(0, edge).astype(np.float32)
    return moved, (moved[:, 2:] > moved[:, :2]).all(axis=1)


def _placed(picture: Image.Image, way: Fit, sampling: Image.Resampling, fill: int) -> np.ndarray:
    height, width = way.size
    if way.source == (0, 0, *picture.size) and picture.size == (width, height):
        scaled = picture
    else:
        scaled = picture.resize((width, height), sampling, box=way.source)
    pixels = np.asarray(scaled)
    if way.size == way.canvas:
        return pixels
    canvas = np.full((*way.canvas, *pixels.shape[2:]), fill, np.uint8)
    top, left = way.corner
    canvas[top : top + height, left : left + width] = pixels
    return canvas
