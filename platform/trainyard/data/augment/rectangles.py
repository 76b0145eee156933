"""Random rectangles within an image: what is cropped, erased or exchanged."""

import numpy as np

from trainyard.data.augment.drawing import Block, Stream

TRIES = 10
"""Until a rectangle of the drawn area and ratio fits into the image, as in torchvision."""


def by_area(
    stream: Stream, block: Block, *, areas: tuple[float, float], ratios: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles with an area uniform in `areas`, as a fraction of the image's, and width / height log-uniform in
    `ratios`, anywhere in the image: (samples, 4) left, top, right, bottom in pixels, not rounded.

    And bool (samples,), which of them are found: those of which one of TRIES fits into the image.
    """
    area = stream.uniform(*areas, TRIES) * block.height * block.width
    ratio = np.exp(stream.uniform(*np.log(ratios), TRIES))
    place = stream.uniform(0, 1, 2)
    width, height = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fits = (width <= block.width) & (height <= block.height)
    first = fits.argmax(axis=1)[:, None]
    sides = np.concatenate([np.take_along_axis(width, first, 1), np.take_along_axis(height, first, 1)], axis=1)
    corner = place * ([block.width, block.height] - sides)
    return np.concatenate([corner, corner + sides], axis=1), fits.any(axis=1)


def about(centre: np.ndarray, sides: np.ndarray, block: Block) -> np.ndarray:
    """Rectangles about centres (..., 2), as fractions of width and height, with sides (..., 2) in pixels: cut off at
    the edges of the image, in whole pixels, (..., 4) left, top, right, bottom."""
    size = np.array([block.width, block.height])
    low, high = (centre * size - sides / 2, centre * size + sides / 2)
    return np.concatenate([np.clip(np.rint(low), 0, size), np.clip(np.rint(high), 0, size)], axis=-1)
