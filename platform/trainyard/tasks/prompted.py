"""Boxes around the objects of a map of objects, and the objects by themselves."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainyard.data.manifest import VOID


@dataclass(frozen=True)
class Objects:
    """P objects of each of N images, those that aren't there among them.

    inside: bool (N, P, H, W), the pixels of each. labelled: bool (N, 1, H, W), pixels that are not void.
    there: bool (N, P), whether an object has a pixel.
    """

    inside: Tensor
    labelled: Tensor
    there: Tensor

    @classmethod
    def of(cls, mask: Tensor, asked: int) -> "Objects":
        """The first `asked` objects of maps uint8 (N, H, W), see data/objects.py. Nothing waits for the device."""
        numbers = torch.arange(1, asked + 1, dtype=mask.dtype, device=mask.device)
        inside = mask[:, None] == numbers[:, None, None]
        return cls(inside=inside, labelled=(mask != VOID)[:, None], there=inside.flatten(2).any(2))

    @property
    def boxes(self) -> Tensor:
        """float32 (N, P, 4): left, top, right, bottom, where (0, 0, W, H) is the whole image; that of an object that
        isn't there is the whole image."""
        height, width = self.inside.shape[2:]
        left, right = _ends(self.inside.any(2), width)
        top, bottom = _ends(self.inside.any(3), height)
        boxes = torch.stack([left, top, right, bottom], dim=2).float()
        whole = boxes.new_tensor([0, 0, width, height])
        return torch.where(self.there[..., None], boxes, whole)


def _ends(hits: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The first place of bool (N, P, size) that is true, and the one after the last."""
    places = torch.arange(size, device=hits.device)
    first = torch.where(hits, places, size).amin(2)
    last = torch.where(hits, places, -1).amax(2)
    return first, last + 1


def moved_edges(boxes: Tensor, shifts: Tensor, *, height: int, width: int) -> Tensor:
    """Boxes (N, P, 4) with each edge moved by so many pixels, (N, P, 4), within the image. Edges that passed each other
    change places."""
    moved = boxes + shifts
    x, y = moved[..., 0::2].clamp(0, width), moved[..., 1::2].clamp(0, height)
    return torch.stack([x.amin(-1), y.amin(-1), x.amax(-1), y.amax(-1)], dim=-1)
