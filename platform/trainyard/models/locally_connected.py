"""Layers that are connected as convolutions are, but share no weights over the image."""

from math import sqrt

import torch
from torch import Tensor, nn

from trainyard.models.blocks import require_pixels
from trainyard.models.heads import Head, head_for, kind_of
from trainyard.models.two_convolutions import CHANNELS


class LocallyConnected2d(nn.Module):
    """A valid convolution with weights and biases of its own at every position: one matrix product for each, all of
    them in one batched call.

    image: (height, width) of what it is given, which is fixed. Answers (N, inputs, height, width) with (N, outputs,
    height - kernel + 1, width - kernel + 1). Parameters: positions x (inputs x kernel^2 + 1) x outputs, initialised as
    torch does a convolution's: uniform within 1 / sqrt(inputs x kernel^2).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, image: tuple[int, int]) -> None:
        super().__init__()
        self.kernel = kernel
        self.size = (image[0] - kernel + 1, image[1] - kernel + 1)
        positions, seen = self.size[0] * self.size[1], inputs * kernel**2
        self.weight = nn.Parameter(torch.empty(positions, seen, outputs))
        self.bias = nn.Parameter(torch.empty(positions, 1, outputs))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -1 / sqrt(seen), 1 / sqrt(seen))

    def forward(self, features: Tensor) -> Tensor:
        windows = features.unfold(2, self.kernel, 1).unfold(3, self.kernel, 1)
        seen = windows.permute(2, 3, 0, 1, 4, 5).reshape(len(self.weight), len(features), -1)
        answers = torch.baddbmm(self.bias, seen, self.weight)
        return answers.permute(1, 2, 0).reshape(len(features), -1, *self.size)

    def extra_repr(self) -> str:
        seen, outputs = self.weight.shape[1:]
        return f"{seen // self.kernel**2}, {outputs}, kernel={self.kernel}, size={self.size}"


class LocallyConnected(nn.Sequential):
    """Two valid 3x3 locally connected layers of 16 and 32 channels, each followed by ReLU.

    image: (channels, n, m) to feature maps (N, 32, n - 4, m - 4) without a head: for n = m on 3 channels
    448 (n - 2)^2 + 4,640 (n - 4)^2 parameters. TrialError for images of less than 5 pixels.
    """

    def __init__(self, *, image: tuple[int, int, int], outputs: int, head: Head = "linear") -> None:
        require_pixels("locally_connected", image, least=5)
        inputs, height, width = image
        first, second = CHANNELS
        super().__init__(
            LocallyConnected2d(inputs, first, 3, image=(height, width)),
            nn.ReLU(),
            LocallyConnected2d(first, second, 3, image=(height - 2, width - 2)),
            nn.ReLU(),
            head_for(head, second, outputs),
        )

    def live_values(self) -> dict[str, object]:
        return {"head": kind_of(self[-1])}
