"""A block of three branches that see more or less of the image."""

import torch
from torch import Tensor, nn

from trainyard.models.blocks import require_pixels
from trainyard.models.heads import Head, head_for, kind_of

BRANCH, JOINED = 32, 256
"""Channels of each layer of a branch, and of the layer that joins them."""


class ThreeBranches(nn.Module):
    """1x1; 1x1 then 3x3; 1x1 then 3x3 then 3x3, each 32 wide, valid and followed by ReLU: receptive fields of 1, 3 and
    5 pixels. The larger ones are cut at their borders to the smallest, joined to 96 channels, and a 1x1 convolution
    makes 256 of them.

    image: (channels, n, m) to feature maps (N, 256, n - 4, m - 4) without a head: on 3 channels 128 x 3 + 9,248 x 3 +
    24,832 = 52,960 parameters. TrialError for images of less than 5 pixels.
    """

    def __init__(self, *, image: tuple[int, int, int], outputs: int, head: Head = "linear") -> None:
        require_pixels("three_branches", image, least=5)
        super().__init__()
        self.first = _layer(image[0], BRANCH, 1)
        self.second = nn.Sequential(_layer(image[0], BRANCH, 1), _layer(BRANCH, BRANCH, 3))
        self.third = nn.Sequential(_layer(image[0], BRANCH, 1), _layer(BRANCH, BRANCH, 3), _layer(BRANCH, BRANCH, 3))
        self.joined = _layer(3 * BRANCH, JOINED, 1)
        self.head = head_for(head, JOINED, outputs)

    def forward(self, images: Tensor) -> Tensor:
        branches = [_cut(self.first(images), 2), _cut(self.second(images), 1), self.third(images)]
        return self.head(self.joined(torch.cat(branches, dim=1)))

    def live_values(self) -> dict[str, object]:
        return {"head": kind_of(self.head)}


def _layer(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel), nn.ReLU())


def _cut(features: Tensor, margin: int) -> Tensor:
    return features[..., margin:-margin, margin:-margin]
