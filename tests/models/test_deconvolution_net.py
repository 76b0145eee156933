"""The deconvolution network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from trainyard.errors import TrialError
from trainyard.models.deconvolution_net import DeconvolutionNet

MakeModel = Callable[..., Any]

PAPER: dict[str, Any] = {"channels": [64, 128, 256, 512, 512], "convolutions": [2, 2, 3, 3, 3], "middle": 4096}


def test_the_network_of_the_paper(make_on_meta: MakeModel, count: Callable[..., int]) -> None:
    """VGG-16's 13 convolutions and fully connected layers, mirrored; 'roughly 252M parameters' (section 4.1)."""
    net = make_on_meta("deconvolution_net", image=(3, 224, 224), outputs=21, **PAPER)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 13 + 3 + 13 + 1
    vgg = 14_710_464  # without biases, which its norms have
    mirrored = vgg - 3 * 64 * 9 + 64 * 64 * 9
    fully_connected = 2 * 512 * 4096 * 49 + 4096 * 4096
    norms = 2 * (4224 + 3776 + 2 * 4096 + 512)
    assert count(net) == vgg + mirrored + fully_connected + norms + 65 * 21
    assert round(count(net) / 1e6) == 252


@pytest.mark.parametrize("size", [(16, 16), (45, 60)], ids=["least", "odd"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("unpooling", ["indices", "none"])
@pytest.mark.parametrize("middle", [None, 6])
def test_any_settings_answer_for_each_pixel(size: tuple[int, int], norm: Any, unpooling: Any, middle: Any) -> None:
    settings: dict[str, Any] = {"channels": [4, 6, 4, 8], "convolutions": [1, 2, 1, 1]}
    net = DeconvolutionNet(image=(2, *size), outputs=5, norm=norm, unpooling=unpooling, middle=middle, **settings)
    assert net(torch.rand(2, 2, *size)).shape == (2, 5, *size)


def test_values_return_to_where_the_maxima_were() -> None:
    net = DeconvolutionNet(image=(1, 4, 4), outputs=1, channels=[1, 1], convolutions=[1, 1], norm="none")
    with torch.no_grad():
        for layer in (layer for layer in net.modules() if isinstance(layer, nn.Conv2d)):
            layer.weight.zero_()
            layer.weight[..., layer.weight.shape[2] // 2, layer.weight.shape[3] // 2] = 1
            assert layer.bias is not None
            layer.bias.zero_()
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    image[0, 0, 0, 1] = 20
    expected = torch.zeros(1, 1, 4, 4)
    expected[0, 0, 0, 1] = 20
    assert torch.equal(net(image), expected)


def test_images_that_cannot_be_halved_so_often() -> None:
    with pytest.raises(TrialError, match=r"images of 15x90 are too small to be halved 4 times, which takes 16 pixels"):
        DeconvolutionNet(image=(3, 15, 90), outputs=2)


def test_its_settings_are_read_back() -> None:
    settings: dict[str, Any] = {
        "channels": [4, 8],
        "convolutions": [1, 2],
        "middle": 4,
        "unpooling": "none",
        "norm": "group",
        "dropout": 0.2,
    }
    assert DeconvolutionNet(image=(1, 8, 8), outputs=2, **settings).live_values() == settings
    two = DeconvolutionNet(image=(1, 8, 8), outputs=2, channels=[4, 8]).live_values()
    assert (two["convolutions"], two["middle"]) == ([2, 2], None)
