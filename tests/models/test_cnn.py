"""The small convolutional net."""

from typing import Any

import pytest
import torch

from trainyard.errors import TrialError
from trainyard.models.cnn import Cnn


def test_it_has_the_parameters_of_the_cifar_workload() -> None:
    model = Cnn(image=(3, 32, 32), outputs=10)
    assert [sum(p.numel() for p in layer.parameters()) for layer in model if list(layer.parameters())] == [
        896,
        18_496,
        23_050,
    ]
    assert sum(p.numel() for p in model.parameters()) == 42_442


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("channels", [[4], [4, 5, 6]])
def test_any_settings_answer_with_logits(padding: Any, kernel: int, channels: list[int]) -> None:
    model = Cnn(image=(2, 37, 41), outputs=7, channels=channels, kernel=kernel, padding=padding, dropout=0.1)
    assert model(torch.rand(3, 2, 37, 41)).shape == (3, 7)


def test_images_that_are_too_small_for_it() -> None:
    with pytest.raises(
        TrialError, match=r"images of 8x8 are too small for 2 convolutions with kernel=3 and padding=valid"
    ):
        Cnn(image=(1, 8, 8), outputs=10)
    Cnn(image=(1, 8, 8), outputs=10, padding="same")


def test_its_settings_are_read_from_its_layers() -> None:
    settings: dict[str, Any] = {"channels": [4, 5], "kernel": 5, "padding": "same", "dropout": 0.25}
    assert Cnn(image=(1, 8, 8), outputs=10, **settings).live_values() == settings
