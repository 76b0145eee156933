"""What makes a classifier of a block that answers with feature maps."""

from typing import Literal

from torch import nn

Head = Literal["linear", "none"]


def head_for(kind: Head, channels: int, outputs: int) -> nn.Module:
    """(N, channels, h, w) to (N, outputs) by global average pooling and a dense layer; for `none` as they are."""
    if kind == "none":
        return nn.Identity()
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs))


def kind_of(head: nn.Module) -> Head:
    """The inverse of head_for."""
    return "none" if isinstance(head, nn.Identity) else "linear"
