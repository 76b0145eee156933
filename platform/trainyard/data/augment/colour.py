"""Colours of images, each sample with a value of its own: torchvision's operations on floats, in place.

images: float (n, C, H, W) in [0, 1]; on grey images (C = 1) what concerns colour does nothing. What is drawn comes as a
tensor (n, 1) on their device. Every step is rounded by itself (no fused multiply and add, which differs between the
body and the tail of a tensor): a sample comes out the same in any company.
"""

import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)
"""What red, green and blue give to the grey, as in torchvision (ITU-R BT.601)."""


def brightness(images: Tensor, factors: Tensor) -> None:
    images.mul_(each(factors)).clamp_(0, 1)


def contrast(images: Tensor, factors: Tensor) -> None:
    """Mixed with the image's mean grey, (1 - factor) of it."""
    means = images.mean(dim=3).mean(dim=2)
    grey = _weighted(means)[:, None] if images.shape[1] == 3 else means
    images.mul_(each(factors)).add_(each(grey * (1 - factors))).clamp_(0, 1)


def saturation(images: Tensor, factors: Tensor) -> None:
    """Mixed with the grey of each pixel, (1 - factor) of it."""
    if images.shape[1] == 3:
        grey = _weighted(images)[:, None].mul_(each(1 - factors))
        images.mul_(each(factors)).add_(grey).clamp_(0, 1)


def greyscale(images: Tensor, _: Tensor) -> None:
    if images.shape[1] == 3:
        images.copy_(_weighted(images)[:, None].expand_as(images))


def hue(images: Tensor, turns: Tensor) -> None:
    """turns: of the colour circle, from -0.5 to 0.5.

    By way of hue, saturation and value. With n = 5, 3, 1 for red, green, blue and k = (n + 6 hue) mod 6, a channel is
    value - chroma x max(0, min(k, 4 - k, 1)).
    """
    if images.shape[1] != 3:
        return
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # 1 where a channel is the largest, the first of equals, and 0 elsewhere.
    most_red = _equal(value, red)
    most_green = _equal(value, green).mul_(1 - most_red)
    most_blue = 1 - most_red - most_green
    away = (green - blue).mul_(most_red).add_((blue - red).mul_(most_green)).add_((red - green).mul_(most_blue))
    away.div_(chroma + _equal(chroma, torch.zeros_like(turns[:, :, None])))
    sixths = away.add_(most_green.mul_(2)).add_(most_blue.mul_(4)).add_(turns[:, :, None] * 6)
    for channel, start in ((red, 5), (green, 3), (blue, 1)):
        place = sixths + start
        place.sub_((place / 6).floor_().mul_(6))
        torch.minimum(place, 4 - place, out=place).clamp_(0, 1)
        torch.sub(value, place.mul_(chroma), out=channel)


def each(values: Tensor) -> Tensor:
    """(n, 1) as (n, 1, 1, 1)."""
    return values[:, :, None, None]


def _equal(one: Tensor, other: Tensor) -> Tensor:
    """1 or 0 as floats: on a CPU a choice by them takes a tenth of the time of torch.where on random pixels."""
    return torch.eq(one, other, out=torch.empty_like(one))


def _weighted(channels: Tensor) -> Tensor:
    """The grey of (n, 3, ...), (n, ...)."""
    red, green, blue = channels.unbind(1)
    grey = red * GREY[0]
    part = green * GREY[1]
    grey.add_(part)
    return grey.add_(torch.mul(blue, GREY[2], out=part))
