"""Fast-SCNN: segmentation of large images in few operations (Poudel, Liwicki, Cipolla 2019, arXiv:1902.04502)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainyard.models.blocks import require_pixels
from trainyard.spec.models.segmenters import LEAST_SIDE

CHANNELS = (32, 48, 64, 96, 128)
"""Of the paper's layers, from the image inwards."""

EXPANSION = 6
"""Of an inverted residual: its middle has so many times the channels of its input."""

BINS = (1, 2, 3, 6)
"""Sides of the grids that the pyramid pools to."""


class FastScnn(nn.Module):
    """Three convolutions bring the image to an eighth; a deep branch goes on to a 32nd and sees the whole of it; both
    are fused at an eighth, classified there, and the answer is enlarged bilinearly.

    image: (channels, height, width), of any size from 32x32 on. width: times the paper's channels. blocks: inverted
    residuals in each of the deep branch's three stages. dropout: of channels before the last convolution.

    Answers with logits (N, outputs, height, width). 1,135,835 parameters for three channels, 11 outputs and the
    defaults: separable convolutions have no norm between their halves, the pyramid's are bare, and the fusion's 1x1
    ones have a bias beside their norm. TrialError for images that are too small.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        width: float = 1.0,
        blocks: Sequence[int] = (3, 3, 3),
        dropout: float = 0.0,
    ) -> None:
        require_pixels("fast_scnn", image, least=LEAST_SIDE)
        super().__init__()
        self._settings = {"width": width, "blocks": list(blocks)}
        first, second, third, deeper, deepest = (_scaled(channels, width) for channels in CHANNELS)
        self.downsample = nn.Sequential(
            _convolution(image[0], first, 3, stride=2),
            _separable(first, second, stride=2),
            _separable(second, third, stride=2),
        )
        stages = (
            _stage(inputs, outputs, count, stride)
            for (inputs, outputs), count, stride in zip(
                pairwise((third, third, deeper, deepest)), blocks, (2, 2, 1), strict=True
            )
        )
        self.deep = nn.Sequential(*stages, PyramidPooling(deepest))
        self.fusion = Fusion(fine=third, coarse=deepest)
        self.separable = nn.Sequential(_separable(deepest, deepest), _separable(deepest, deepest))
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(deepest, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.downsample(images)
        fused = self.fusion(fine, self.deep(fine))
        logits = self.classifier(self.dropout(self.separable(fused)))
        return functional.interpolate(logits, size=images.shape[2:], mode="bilinear")

    def live_values(self) -> dict[str, object]:
        return {**self._settings, "dropout": self.dropout.p}


class InvertedResidual(nn.Module):
    """1x1 convolution to six times the channels, 3x3 by depth, 1x1 to the outputs, each with a norm; the input is added
    where the shapes agree (Sandler et al. 2018, arXiv:1801.04381)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        middle = EXPANSION * inputs
        self.block = nn.Sequential(
            _convolution(inputs, middle, 1),
            _convolution(middle, middle, 3, stride=stride, groups=middle),
            nn.Conv2d(middle, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self._adds = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.block(features)
        return features + changed if self._adds else changed


class PyramidPooling(nn.Module):
    """What is seen of the whole image: averages over grids of 1, 2, 3 and 6 cells a side, each brought to a quarter of
    the channels, enlarged again, joined to the input and reduced (Zhao et al. 2017, arXiv:1612.01105)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        part = channels // len(BINS)
        self.branches = nn.ModuleList(nn.Conv2d(channels, part, 1, bias=False) for _ in BINS)
        self.reduce = nn.Conv2d(channels + len(BINS) * part, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        size = features.shape[2:]
        pooled = [
            functional.interpolate(branch(functional.adaptive_avg_pool2d(features, side)), size=size, mode="bilinear")
            for side, branch in zip(BINS, self.branches, strict=True)
        ]
        return self.reduce(torch.cat([features, *pooled], dim=1))


class Fusion(nn.Module):
    """The sum of both branches at the finer one's size: the coarse one enlarged, convolved by depth and then 1x1, the
    fine one 1x1. Answers with the coarse one's channels."""

    def __init__(self, *, fine: int, coarse: int) -> None:
        super().__init__()
        self.depthwise = _convolution(coarse, coarse, 3, groups=coarse)
        self.coarse = nn.Sequential(nn.Conv2d(coarse, coarse, 1), nn.BatchNorm2d(coarse))
        self.fine = nn.Sequential(nn.Conv2d(fine, coarse, 1), nn.BatchNorm2d(coarse))

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        enlarged = functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear")
        return functional.relu(self.fine(fine) + self.coarse(self.depthwise(enlarged)))


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        InvertedResidual(inputs, outputs, stride=stride),
        *(InvertedResidual(outputs, outputs) for _ in range(blocks - 1)),
    )


def _separable(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """3x3 convolution by depth and 1x1 over the channels, then norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
        _convolution(inputs, outputs, 1),
    )


def _convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _scaled(channels: int, width: float) -> int:
    """A multiple of 4, at least 4, so that the pyramid's quarters are whole."""
    return max(4, round(channels * width / 4) * 4)
