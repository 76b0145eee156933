"""What several architectures are made of."""

from math import gcd
from typing import Literal

from torch import nn

from trainyard.errors import TrialError

Norm = Literal["batch", "group", "none"]

GROUPS = 8
"""Groups of a group normalisation; fewer where the channels don't divide by it."""


def convolution(inputs: int, outputs: int, *, norm: Norm, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, normalisation and ReLU: (N, inputs, H, W) to (N, outputs, H / stride, W / stride), rounded
    up."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=norm == "none"),
        normalisation(norm, outputs),
        nn.ReLU(inplace=True),
    )


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Of feature maps (N, channels, H, W); `none` leaves them as they are."""
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(gcd(GROUPS, channels), channels)
        case "none":
            return nn.Identity()


def require_pixels(model: str, image: tuple[int, int, int], *, least: int) -> None:
    """TrialError for images (channels, height, width) of fewer pixels each way than a model needs."""
    if min(image[1:]) < least:
        raise TrialError(
            f"model {model}: images of {image[1]}x{image[2]} are too small, it needs {least} pixels each way. Set a "
            "larger data.image_size."
        )
