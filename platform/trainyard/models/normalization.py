"""Images as pretrained networks want them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainyard.spec.pretrained import is_file

_SCALED = ("googlenet", "inception_v3")
"""Their weights were trained on pixels from -1 to 1. torchvision normalises as for the others, and then undoes it
inside the model (`transform_input`)."""


class Normalization(nn.Module):
    """Images (N, C, H, W) in [0, 1], less the mean, over the standard deviation of each channel.

    Both are constants: buffers, so that they follow the model to its device, that no checkpoint holds.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def normalization_for(architecture: str, weights: str | None) -> Normalization:
    """With `mean_and_std`."""
    return Normalization(*mean_and_std(architecture, weights))


def mean_and_std(architecture: str, weights: str | None) -> tuple[list[float], list[float]]:
    """Of each channel, as torchvision's weights of this name want them; of a file or without weights, its default
    ones."""
    if architecture in _SCALED:
        return [0.5] * 3, [0.5] * 3
    from torchvision.models import get_model_weights

    published = get_model_weights(architecture)
    name = "DEFAULT" if weights is None or is_file(weights) else weights
    preset = published[name].transforms()
    return list(preset.mean), list(preset.std)
