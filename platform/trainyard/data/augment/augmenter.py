"""The augmentations of a job, drawn for an epoch and applied to its batches."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from trainyard.data.augment.boxes import BoxMoves
from trainyard.data.augment.buffers import Buffers
from trainyard.data.augment.changes import Change, drawn_changes
from trainyard.data.augment.drawing import Block, Share
from trainyard.data.augment.mixing import Mixing, mixes
from trainyard.data.augment.moves import forward_maps
from trainyard.data.augment.policies import drawn_policies
from trainyard.data.augment.warp import Warp
from trainyard.spec.augmentations import Augmentations

BLOCK_SAMPLES = 8192
"""Drawn at one go, over all workers: enough that the draws cost little, and few enough that no epoch is too long."""

PART_BYTES = 2**21
"""Of images that a CPU works on at one go: they stay in its cache from operation to operation."""


class Augmenter:
    """Draws the augmentations of epochs: the same arguments give the same changes, bit for bit."""

    def __init__(self, settings: Augmentations, *, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        self._buffers = Buffers()

    def draw(self, epoch: int, share: Share, *, height: int, width: int, device: torch.device) -> "EpochDraws":
        """height, width: of the images, in pixels. device: where the images will be."""
        block = Block(
            seed=self._seed,
            epoch=epoch,
            first=0,
            steps=max(1, BLOCK_SAMPLES // share.batch_size),
            share=share,
            part=_part_size(share, height * width, device, even=mixes(self.settings)),
            height=height,
            width=width,
            device=device,
        )
        return EpochDraws(self.settings, block, self._buffers)


class EpochDraws:
    """What happens to each sample of a worker's epoch. Drawn block by block, as the steps are asked for."""

    def __init__(self, settings: Augmentations, block: Block, buffers: Buffers) -> None:
        """block: the first one, of as many steps as any."""
        self._settings = settings
        self._first = block
        self._buffers = buffers
        self._current: _BlockDraws | None = None

    def apply(self, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """The batch of a step, counted from 0, with what is augmented replaced; the given tensors stay as they are.

        Of the columns (see columns) it changes `image`, and jointly `mask`, and `boxes` with `box_labels` and
        `box_crowd`, whichever are in the batch. Images come as they are stored, uint8 (N, C, H, W), or as float in
        [0, 1], and leave as float. What comes into the image from beyond its edges is VOID in a mask. A box that leaves
        the image gets the label -1 and stays at its place in the row. mixup and cutmix add `label_other` int64 (N,) and
        `label_share` float32 (N,): the share is the weight of `label` in the loss, and 1 - share that of `label_other`.
        """
        return self._block_of(step).apply(batch, step, self._buffers)

    def uniform(self, stream: str, step: int, low: float, high: float, *shape: int) -> Tensor:
        """Numbers for each sample of the batch of a step, float32 (samples, *shape), on the device of the images."""
        block = replace(self._first, first=step, steps=1)
        numbers = torch.from_numpy(block.stream(stream).uniform(low, high, *shape).astype(np.float32))
        # Nothing waits for a GPU.
        return numbers.pin_memory().to(block.device, non_blocking=True) if block.device.type == "cuda" else numbers

    def _block_of(self, step: int) -> "_BlockDraws":
        first = step - step % self._first.steps
        if self._current is None or self._current.block.first != first:
            steps = min(self._first.steps, self._first.share.steps - first)
            self._current = _BlockDraws(self._settings, replace(self._first, first=first, steps=steps))
        return self._current


class _BlockDraws:
    """What happens to the samples of a block."""

    def __init__(self, settings: Augmentations, block: Block) -> None:
        self.block = block
        policies = drawn_policies(settings, block)
        forward = forward_maps(settings, policies, block)
        self._warp = self._box_moves = None
        if forward is not None:
            self._warp = Warp(forward, settings, block)
            self._box_moves = BoxMoves(forward, settings.min_visible, replace(block, part=block.share.samples))
        self._mixing = Mixing(settings, block) if mixes(settings) else None
        self._changes: list[Change] = list(drawn_changes(settings, policies, block))
        if self._mixing:
            self._changes.append(self._mixing)

    def apply(self, batch: Mapping[str, Tensor], step: int, buffers: Buffers) -> dict[str, Tensor]:
        """See EpochDraws."""
        step -= self.block.first
        augmented = dict(batch) | self._pictures(batch, step, buffers)
        if self._box_moves and "boxes" in batch:
            augmented |= self._box_moves.moved(batch, step)
        if self._mixing:
            augmented |= self._mixing.labels(batch["label"], step)
        return augmented

    def _pictures(self, batch: Mapping[str, Tensor], step: int, buffers: Buffers) -> dict[str, Tensor]:
        """Images, and masks if they move."""
        if self._warp is None and not self._changes and batch["image"].is_floating_point():
            return {}
        names = ["image", *(["mask"] if self._warp and "mask" in batch else [])]
        places = {name: _empty_like(batch[name], buffers) for name in names}
        for part in range(self.block.parts):
            own = slice(part * self.block.part, (part + 1) * self.block.part)
            sources, parts = ({name: column[name][own] for name in names} for column in (batch, places))
            if self._warp:
                self._warp.write(sources | {"image": in_unit_range(sources["image"])}, parts, step, part)
            else:
                parts["image"].copy_(in_unit_range(sources["image"]))
            for change in self._changes:
                change(parts["image"], step, part)
        return places


def in_unit_range(images: Tensor) -> Tensor:
    """uint8 as float32 in [0, 1]; floats as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def _empty_like(column: Tensor, buffers: Buffers) -> Tensor:
    """For what becomes of a column: float32 for images."""
    dtype = torch.uint8 if column.dim() == 3 else torch.float32
    if column.device.type == "cpu":
        return buffers.empty(column.shape, dtype)
    return torch.empty_like(column, dtype=dtype)


def _part_size(share: Share, pixels: int, device: torch.device, *, even: bool) -> int:
    """Samples that are worked on at one go: on a GPU all of a slice."""
    if device.type != "cpu":
        return share.samples
    # torch's grid_sample shares out whole images among threads.
    size = max(PART_BYTES // (3 * 4 * pixels), torch.get_num_threads(), 1)
    return min(size + size % 2 if even else size, share.samples)
