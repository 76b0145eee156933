"""What happens to the pixels of images once they are moved, in the order in which it happens."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from trainyard.data.augment import colour, filters, policies, tones
from trainyard.data.augment.drawing import Block, Drawn
from trainyard.data.augment.erasing import drawn_cutout, drawn_erasing, erase
from trainyard.data.augment.noise import Noise
from trainyard.data.augment.policies import PolicyDraws
from trainyard.spec import augmentations as spec
from trainyard.spec.augmentations import Augmentations

Operation = Callable[[Tensor, Tensor], None]
"""Changes images (n, C, H, W) in place, each by what was drawn for it, (n, ...)."""

Change = Callable[[Tensor, int, int], None]
"""Changes, in place, some of the images of a part, which is given with its step and number."""

OPERATIONS: dict[str, Operation] = {
    "brightness": colour.brightness,
    "contrast": colour.contrast,
    "saturation": colour.saturation,
    "hue": colour.hue,
    "greyscale": colour.greyscale,
    "posterize": tones.posterize,
    "solarize": tones.solarize,
    "autocontrast": tones.autocontrast,
    "equalize": tones.equalize,
    "sharpness": filters.sharpness,
}
"""By the names of settings and of policies' operations, in the order in which they happen."""


class ToChosen:
    """An operation, done to the samples that it was drawn for."""

    def __init__(self, operation: Operation, drawn: Drawn) -> None:
        self._operation = operation
        self._drawn = drawn

    def __call__(self, images: Tensor, step: int, part: int) -> None:
        chosen = self._drawn.of(step, part)
        if chosen:
            changed = chosen.of(images)
            self._operation(changed, chosen.values)
            chosen.put(images, changed)


def drawn_changes(settings: Augmentations, drawn_policies: list[PolicyDraws], block: Block) -> Iterator[Change]:
    """Those of a block: what the policies drew, colours and tones, blur, noise, and at last what is erased."""
    for policy in drawn_policies:
        yield from _of_policy(policy, block)
    for name, operation in OPERATIONS.items():
        chosen = getattr(settings, name)
        if chosen:
            yield ToChosen(operation, _drawn(name, chosen, block))
    if settings.gaussian_blur:
        yield _blur(settings.gaussian_blur, block)
    if settings.noise:
        yield Noise(settings.noise, block)
    fill = partial(erase, fill=settings.fill)
    if settings.random_erasing:
        yield ToChosen(fill, drawn_erasing(settings.random_erasing, block))
    if settings.cutout:
        yield ToChosen(fill, drawn_cutout(settings.cutout, block))


def _of_policy(policy: PolicyDraws, block: Block) -> Iterator[Change]:
    for name in (name for name in OPERATIONS if name in policies.OPERATIONS):
        drew = policy.drew(name)
        if drew.any():
            strength = policy.strength(name)
            values = 2**strength if name == "posterize" else strength
            yield ToChosen(OPERATIONS[name], Drawn(drew, values[:, None], block))


def _drawn(name: str, chosen: Any, block: Block) -> Drawn:
    """The samples that a setting changes, and its value for each."""
    stream = block.stream(name)
    happens = stream.happens(chosen.p)
    match chosen:
        case spec.Brightness() | spec.Contrast() | spec.Saturation() | spec.Sharpness():
            values = stream.uniform(1 - chosen.amount, 1 + chosen.amount)
        case spec.Hue():
            values = stream.uniform(-chosen.amount, chosen.amount)
        case spec.Posterize():
            values = np.full(block.samples, 2.0**chosen.bits)
        case spec.Solarize():
            values = np.full(block.samples, chosen.threshold)
        case _:
            values = np.zeros(block.samples)
    return Drawn(happens, values[:, None], block)


def _blur(blur: spec.GaussianBlur, block: Block) -> Change:
    stream = block.stream("gaussian_blur")
    happens = stream.happens(blur.p)
    sigmas = stream.uniform(blur.sigma_low, blur.sigma_high)
    radii = filters.blur_radii(blur.sigma_high, height=block.height, width=block.width)
    drawn = Drawn(happens, filters.blur_weights(sigmas, radii), block)
    return ToChosen(partial(filters.blur, radii=radii), drawn)
