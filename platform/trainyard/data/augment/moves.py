"""Where an image's points go: all geometry of a sample, composed into one affine map."""

import numpy as np

from trainyard.data.augment import maps, rectangles
from trainyard.data.augment.drawing import Block
from trainyard.data.augment.policies import PolicyDraws
from trainyard.spec.augmentations import (
    Augmentations,
    PaddingCrop,
    RandomResizedCrop,
    Rotate,
    Scale,
    Shear,
    Translate,
)


def forward_maps(settings: Augmentations, policies: list[PolicyDraws], block: Block) -> np.ndarray | None:
    """(samples, 3, 3), see maps; None if the settings move nothing.

    Crops come first, then flips, then shear, scale and rotation about the centre, then the shift, then what the
    policies drew.
    """
    size = {"height": block.height, "width": block.width}
    steps: list[np.ndarray] = []
    if settings.random_resized_crop:
        steps.append(_crop(settings.random_resized_crop, block))
    if settings.padding_crop:
        steps.append(_shift_by_pixels(settings.padding_crop, block))
    if settings.horizontal_flip or settings.vertical_flip:
        flips = {name: _flips(settings, name, block) for name in ("horizontal_flip", "vertical_flip")}
        steps.append(maps.mirrored(flips["horizontal_flip"], flips["vertical_flip"], **size))
    about_centre = _about_centre(settings, block)
    if about_centre:
        steps.append(maps.about_centre(maps.composed(*about_centre), **size))
    if settings.translate:
        steps.append(_shift(settings.translate, block))
    steps += [move for policy in policies for move in policy.moves()]
    return maps.composed(*steps) if steps else None


def _about_centre(settings: Augmentations, block: Block) -> list[np.ndarray]:
    steps: list[np.ndarray] = []
    if settings.shear:
        steps.append(_shear(settings.shear, block))
    if settings.scale:
        steps.append(_zoom(settings.scale, block))
    if settings.rotate:
        steps.append(_turn(settings.rotate, block))
    return steps


def _crop(crop: RandomResizedCrop, block: Block) -> np.ndarray:
    stream = block.stream("random_resized_crop")
    happens = stream.happens(crop.p)
    ratios = crop.ratio_low, crop.ratio_high
    edges, found = rectangles.by_area(stream, block, areas=(crop.area_low, crop.area_high), ratios=ratios)
    edges = np.where(found[:, None], edges, _largest_part(block, *ratios))
    edges = np.where(happens[:, None], edges, [0, 0, block.width, block.height])
    return maps.enlarged(edges, height=block.height, width=block.width)


def _largest_part(block: Block, ratio_low: float, ratio_high: float) -> np.ndarray:
    """In the middle, (4,): what torchvision falls back on where no drawn part fits into the image."""
    size = np.array([block.width, block.height])
    ratio = np.clip(block.width / block.height, ratio_low, ratio_high)
    sides = np.minimum(size, [block.height * ratio, block.width / ratio])
    return np.concatenate([(size - sides) / 2, (size + sides) / 2])


def _shift_by_pixels(crop: PaddingCrop, block: Block) -> np.ndarray:
    stream = block.stream("padding_crop")
    happens = stream.happens(crop.p)
    pixels = np.where(happens[:, None], stream.integers(-crop.pixels, crop.pixels, 2), 0)
    return maps.shifted(*pixels.T)


def _flips(settings: Augmentations, name: str, block: Block) -> np.ndarray:
    flip = getattr(settings, name)
    return block.stream(name).happens(flip.p) if flip else np.zeros(block.samples, bool)


def _shear(shear: Shear, block: Block) -> np.ndarray:
    stream = block.stream("shear")
    happens = stream.happens(shear.p)
    largest = np.radians([shear.degrees, shear.vertical_degrees])
    slopes = np.tan(np.where(happens[:, None], stream.uniform(-1, 1, 2) * largest, 0))
    return maps.sheared(*slopes.T)


def _zoom(scale: Scale, block: Block) -> np.ndarray:
    stream = block.stream("scale")
    happens = stream.happens(scale.p)
    return maps.zoomed(np.where(happens, stream.uniform(scale.low, scale.high), 1))


def _turn(rotate: Rotate, block: Block) -> np.ndarray:
    stream = block.stream("rotate")
    happens = stream.happens(rotate.p)
    return maps.turned(np.where(happens, np.radians(stream.uniform(-rotate.degrees, rotate.degrees)), 0))


def _shift(translate: Translate, block: Block) -> np.ndarray:
    stream = block.stream("translate")
    happens = stream.happens(translate.p)
    largest = translate.fraction * np.array([block.width, block.height])
    pixels = np.where(happens[:, None], stream.uniform(-1, 1, 2) * largest, 0)
    return maps.shifted(*pixels.T)
