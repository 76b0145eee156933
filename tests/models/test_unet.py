"""U-Net."""

from typing import Any

import pytest
import torch

from trainyard.errors import TrialError
from trainyard.models.unet import Unet


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("channels", [[4, 6], [4, 6, 10, 12]])
@pytest.mark.parametrize("size", [(8, 8), (37, 50)], ids=["small", "odd"])
def test_any_settings_answer_for_each_pixel(norm: Any, channels: list[int], size: tuple[int, int]) -> None:
    model = Unet(image=(2, *size), outputs=5, channels=channels, norm=norm)
    assert model(torch.rand(3, 2, *size)).shape == (3, 5, *size)


def test_a_pixel_sees_far_on_the_coarse_levels_and_sharply_on_the_fine_ones() -> None:
    model = Unet(image=(1, 64, 64), outputs=1, channels=[4, 4, 4, 4], norm="none").eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.abs_()  # so that no ReLU is dead, whatever was drawn
    image = torch.rand(1, 1, 64, 64, requires_grad=True)
    model(image)[0, 0, 32, 32].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].abs()
    assert (seen[32] > 0).sum() > 40
    assert seen[30:35, 30:35].mean() > 5 * seen[:16].mean()


def test_images_that_cannot_be_halved_so_often() -> None:
    with pytest.raises(TrialError, match=r"model unet: images of 7x90 are too small for 4 levels, which need 8 pixels"):
        Unet(image=(3, 7, 90), outputs=2, channels=[4, 4, 4, 4])


def test_its_settings_are_read_back() -> None:
    settings: dict[str, Any] = {"channels": [4, 8], "norm": "group", "dropout": 0.2}
    assert Unet(image=(1, 8, 8), outputs=2, **settings).live_values() == settings
