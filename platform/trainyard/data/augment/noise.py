"""Gaussian noise, the same for a sample on any number of workers."""

import numpy as np
import torch
from torch import Tensor

from trainyard.data.augment.colour import each
from trainyard.data.augment.drawing import Block, Chosen, Drawn
from trainyard.spec import augmentations as spec

LARGEST_SEED = 2**62


class Noise:
    """Of a block's samples. On a CPU each has a seed of its own, so that a worker makes only its own samples' noise. On
    a GPU, where a kernel for each sample would take longer, a step has one, for the noise of the whole global batch."""

    def __init__(self, settings: spec.Noise, block: Block) -> None:
        stream = block.stream("noise")
        happens = stream.happens(settings.p) & (settings.std > 0)
        seeds = stream.integers(0, LARGEST_SEED)
        self._drawn = Drawn(happens, np.full((block.samples, 1), settings.std), block)
        self._seeds: list[int] = seeds[self._drawn.positions].tolist()
        self._step_seeds = stream.of_steps(LARGEST_SEED)
        self._share = block.share
        self._generator = torch.Generator(block.device)

    def __call__(self, images: Tensor, step: int, part: int) -> None:
        """In place, on a part's images (n, C, H, W)."""
        chosen = self._drawn.of(step, part)
        if chosen is None:
            return
        changed = chosen.of(images)
        if images.device.type == "cpu":
            noise = self._of_samples(changed, chosen)
        else:
            noise = chosen.of(self._of_slice(images, step))
        changed.add_(noise * each(chosen.values)).clamp_(0, 1)
        chosen.put(images, changed)

    def _of_samples(self, images: Tensor, chosen: Chosen) -> Tensor:
        noise = torch.empty_like(images)
        for own, seed in zip(noise, self._seeds[chosen.drawn], strict=True):
            own.normal_(generator=self._generator.manual_seed(seed))
        return noise

    def _of_slice(self, images: Tensor, step: int) -> Tensor:
        self._generator.manual_seed(self._step_seeds[step])
        shape = (self._share.batch_size, *images.shape[1:])
        noise = torch.randn(shape, generator=self._generator, device=images.device)
        return noise[self._share.own]
