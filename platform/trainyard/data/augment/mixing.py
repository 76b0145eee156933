"""mixup and cutmix: one sample of two.

A sample's partner is the other of its pair in the global batch: samples 0 and 1, 2 and 3, and so on. The epoch's order
is random, so the pairs are, and every worker has whole pairs as long as its slice is even. Both of a pair are changed,
each by a draw of its own, and each takes from its partner what that was before.
"""

import numpy as np
import torch
from torch import Tensor

from trainyard.data.augment import rectangles
from trainyard.data.augment.colour import each
from trainyard.data.augment.drawing import MIXING, Block, Chosen, Drawn
from trainyard.data.augment.erasing import paste
from trainyard.spec.augmentations import Augmentations, Cutmix


class Mixing:
    """Of a block's samples. Its parts are even, except for the last of an odd slice."""

    def __init__(self, settings: Augmentations, block: Block) -> None:
        shares = np.ones(block.samples)
        choice = block.stream(MIXING).uniform(0, 1)
        self._blended = self._pasted = None
        if settings.mixup:
            happens = choice < settings.mixup.p
            own = block.stream("mixup").beta(settings.mixup.alpha)
            shares[happens] = own[happens]
            self._blended = Drawn(happens, own[:, None], block)
        if settings.cutmix:
            # From the other end, so that a sample meets one of them.
            happens = choice >= 1 - settings.cutmix.p
            edges, own = _exchanged(settings.cutmix, block)
            shares[happens] = own[happens]
            self._pasted = Drawn(happens, edges[:, None], block)
        by_step = shares.astype(np.float32).reshape(block.steps, -1)
        self._shares = torch.from_numpy(by_step).to(block.device)

    def __call__(self, images: Tensor, step: int, part: int) -> None:
        """In place, on a part's images (n, C, H, W)."""
        blended = self._blended.of(step, part) if self._blended else None
        pasted = self._pasted.of(step, part) if self._pasted else None
        if blended is None and pasted is None:
            return
        partners = swapped(images)
        if blended:
            _blend(images, partners, blended)
        if pasted:
            _paste(images, partners, pasted)

    def labels(self, labels: Tensor, step: int) -> dict[str, Tensor]:
        """`label_other` int64 (N,), the partners' labels, and `label_share` float32 (N,), the weights of the own ones;
        1 - share is the partner's."""
        return {"label_other": swapped(labels), "label_share": self._shares[step]}


def mixes(settings: Augmentations) -> bool:
    """Whether any sample may be mixed."""
    return any(mixing is not None and mixing.p > 0 for mixing in (settings.mixup, settings.cutmix))


def swapped(samples: Tensor) -> Tensor:
    """The partners of samples (N, ...): 1, 0, 3, 2, and so on. A copy. The last of an odd number is its own."""
    pairs = samples[: len(samples) // 2 * 2].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    return pairs if len(samples) % 2 == 0 else torch.cat([pairs, samples[-1:]])


def _blend(images: Tensor, partners: Tensor, chosen: Chosen) -> None:
    own, share = chosen.of(images), each(chosen.values)
    own.mul_(share).add_(chosen.of(partners) * (1 - share))
    chosen.put(images, own)


def _paste(images: Tensor, partners: Tensor, chosen: Chosen) -> None:
    own = chosen.of(images)
    paste(own, chosen.of(partners), chosen.values)
    chosen.put(images, own)


def _exchanged(cutmix: Cutmix, block: Block) -> tuple[np.ndarray, np.ndarray]:
    """The rectangles (samples, 4) that are taken from partners, in whole pixels, and what share is left of the own."""
    stream = block.stream("cutmix")
    share, centres = stream.beta(cutmix.alpha), stream.uniform(0, 1, 2)
    sides = np.sqrt(1 - share)[:, None] * [block.width, block.height]
    edges = rectangles.about(centres, sides, block)
    left, top, right, bottom = edges.T
    return edges, 1 - (right - left) * (bottom - top) / (block.height * block.width)
