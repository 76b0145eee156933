"""The net of the regularisation study."""

from collections.abc import Callable

import pytest
import torch

from trainyard.errors import TrialError
from trainyard.models.mnist_net import MnistNet

IMAGE = (1, 28, 28)


def test_batch_norm_adds_276_parameters(count: Callable[..., int]) -> None:
    plain = MnistNet(image=IMAGE, outputs=10)
    assert count(plain) == 640 + 36_928 + 31_370
    assert count(MnistNet(image=IMAGE, outputs=10, batch_norm=True)) - count(plain) == 2 * (64 + 64 + 10) == 276


def test_its_layers_come_in_the_order_of_the_study() -> None:
    """Batch norm after the activation and before the pooling."""
    layers = [type(layer).__name__ for layer in MnistNet(image=IMAGE, outputs=10, batch_norm=True)]
    block = ["Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d", "Dropout"]
    assert layers == ["Dropout", *block, *block, "Flatten", "Linear", "BatchNorm1d"]


def test_the_probabilities_are_those_of_dropping() -> None:
    images = torch.ones(200, 1, 8, 8)
    net = MnistNet(image=(1, 8, 8), outputs=10, input_dropout=0.2, dropout=0.5).train()
    pixels, activations = net[0](images), net[4](torch.ones(200, 4, 4, 4))
    assert (pixels == 0).float().mean() == pytest.approx(0.2, abs=0.03)
    assert (activations == 0).float().mean() == pytest.approx(0.5, abs=0.03)
    assert torch.equal(net.eval()[0](images), images)


@pytest.mark.parametrize("channels", [(4,), (4, 5, 6)])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_any_settings_answer_with_logits(channels: tuple[int, ...], batch_norm: bool) -> None:
    net = MnistNet(image=(3, 13, 17), outputs=7, channels=channels, kernel=5, batch_norm=batch_norm, dropout=0.1)
    assert net(torch.rand(3, 3, 13, 17)).shape == (3, 7)
    assert net.live_values() == {
        "channels": list(channels),
        "kernel": 5,
        "batch_norm": batch_norm,
        "input_dropout": 0.0,
        "dropout": 0.1,
    }


def test_images_that_cannot_be_halved_so_often() -> None:
    with pytest.raises(TrialError, match=r"images of 7x90 are too small to be halved 3 times. Use fewer channels"):
        MnistNet(image=(1, 7, 90), outputs=2, channels=(4, 4, 4))
