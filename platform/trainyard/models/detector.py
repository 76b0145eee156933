"""What a model for detection is given, and what it answers with.

It computes its losses itself, as torchvision's detectors do: what a two-stage detector learns from depends on the boxes
that it proposes for the images at hand.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

LEAST_SIDE = 1e-3
"""Pixels: a box that is narrower or lower has no area, as an augmentation may leave it, and is none."""


class Targets(NamedTuple):
    """The true boxes of N images, padded to the same number M in each.

    boxes: float32 (N, M, 4), left, top, right, bottom in pixels. labels: int64 (N, M), class indexes from 0 on, -1
    where there is no box. crowd: bool (N, M), boxes that are neither learnt nor learnt to be background.
    """

    boxes: Tensor
    labels: Tensor
    crowd: Tensor

    @property
    def learnt(self) -> Tensor:
        """bool (N, M): which of the M are boxes to learn from."""
        return self._sized & ~self.crowd

    @property
    def ignored(self) -> Tensor:
        """bool (N, M): which are crowds, in which nothing is learnt to be background."""
        return self._sized & self.crowd

    @property
    def _sized(self) -> Tensor:
        """bool (N, M): which are boxes with an area."""
        return (self.labels >= 0) & (self.boxes[..., 2:] - self.boxes[..., :2] >= LEAST_SIDE).all(-1)


Losses = Mapping[str, Tensor]
"""The terms of the loss by name: scalars, each the mean over the images of something of one image."""

Detections = Sequence[Mapping[str, Tensor]]
"""For each image what was found in it, D times: `boxes` (D, 4) in pixels as in Targets, `labels` int64 (D,), class
indexes from 0 on, `scores` (D,), the surer the higher. torchvision's and torchmetrics' form."""


class Detector(Protocol):
    """A torch.nn.Module that finds objects."""

    def __call__(self, images: Tensor, targets: Targets | None = None) -> tuple[Losses, Detections]:
        """Losses where targets are given, else none. Detections in evaluation mode; in training mode there may be none.

        images: float (N, C, H, W) in [0, 1]. Everything that is trained has a part in the losses.
        """
        ...
