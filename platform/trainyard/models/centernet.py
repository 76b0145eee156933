"""A small one-stage detector that finds the centres of objects."""

from collections.abc import Sequence
from itertools import pairwise
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainyard.models.blocks import Norm, convolution
from trainyard.models.centers import Maps, center_losses, read_boxes
from trainyard.models.detector import Detections, Losses, Targets

STRIDE = 4
"""Pixels of the image, each way, in a cell of the answer."""

PRIOR = 0.1
"""What the heatmap says at first everywhere, so that its loss isn't all background's (Lin et al. 2017, section 3.3)."""


class CenterNet(nn.Module):
    """Objects as points (Zhou, Wang, Krähenbühl 2019): a heatmap of the centres of each class, and the size of the box
    around each. The encoder and decoder are plain and small instead of the paper's.

    channels: of each level, the first half as fine as the image, and each half as fine as the one before. The answer is
    on the second level. A Detector.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        channels: Sequence[int] = (16, 32, 64, 128),
        norm: Norm = "batch",
        head_channels: int = 32,
    ) -> None:
        super().__init__()
        self._settings = {"channels": list(channels), "norm": norm, "head_channels": head_channels}
        self.stem = convolution(image[0], channels[0], norm=norm, stride=2)
        self.encoder = nn.ModuleList(
            nn.Sequential(convolution(finer, own, norm=norm, stride=2), convolution(own, own, norm=norm))
            for finer, own in pairwise(channels)
        )
        steps = list(pairwise(channels[1:]))[::-1]
        self.narrowing = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in steps)
        self.decoder = nn.ModuleList(convolution(2 * fine, fine, norm=norm) for fine, _ in steps)
        self.heatmap = _head(channels[1], head_channels, outputs, start=-log((1 - PRIOR) / PRIOR))
        self.size = _head(channels[1], head_channels, 2)
        self.offset = _head(channels[1], head_channels, 2)

    def forward(self, images: Tensor, targets: Targets | None = None) -> tuple[Losses, Detections]:
        features = self._features(images)
        maps = Maps(*(head(features).float() for head in (self.heatmap, self.size, self.offset)))
        losses = {} if targets is None else center_losses(maps, targets, stride=STRIDE)
        height, width = images.shape[2:]
        return losses, [] if self.training else read_boxes(maps, stride=STRIDE, height=height, width=width)

    def _features(self, images: Tensor) -> Tensor:
        """(N, channels[1], H / 4, W / 4), rounded up."""
        levels = [self.stem(images)]
        for encode in self.encoder:
            levels.append(encode(levels[-1]))
        features = levels.pop()
        for narrow, decode in zip(self.narrowing, self.decoder, strict=True):
            finer = levels.pop()
            doubled = functional.interpolate(narrow(features), size=finer.shape[2:], mode="bilinear")
            features = decode(torch.cat([finer, doubled], dim=1))
        return features

    def live_values(self) -> dict[str, object]:
        return dict(self._settings)


def _head(inputs: int, width: int, answers: int, *, start: float | None = None) -> nn.Sequential:
    """start: what it answers with at first, about; by chance if absent."""
    last = nn.Conv2d(width, answers, 1)
    if start is not None:
        nn.init.constant_(last.get_parameter("bias"), start)
    return nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(), last)
