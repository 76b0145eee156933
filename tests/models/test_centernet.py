"""The detector that finds centres."""

from typing import Any

import pytest
import torch

from trainyard.models.centernet import CenterNet
from trainyard.models.detector import Targets

TARGETS = Targets(
    torch.tensor([[[4.0, 4.0, 20.0, 16.0]]]).expand(2, 1, 4), torch.tensor([[1], [-1]]), torch.zeros(2, 1).bool()
)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("channels", [[4, 6], [4, 6, 8, 10]])
@pytest.mark.parametrize("size", [(24, 32), (25, 39)], ids=["even", "odd"])
def test_any_settings_answer_with_losses_and_boxes(norm: Any, channels: list[int], size: tuple[int, int]) -> None:
    model = CenterNet(image=(3, *size), outputs=3, channels=channels, norm=norm, head_channels=5).eval()
    losses, found = model(torch.rand(2, 3, *size), TARGETS)
    assert set(losses) == {"heatmap", "size", "offset"}
    assert all(loss.dim() == 0 and loss.isfinite() for loss in losses.values())
    assert [one["boxes"].shape[1] for one in found] == [4, 4]
    assert found[0]["boxes"].max() <= max(size)


def test_it_finds_nothing_while_it_trains_and_loses_nothing_without_targets() -> None:
    model = CenterNet(image=(3, 24, 32), outputs=3, channels=[4, 6])
    assert model.train()(torch.rand(2, 3, 24, 32), TARGETS)[1] == []
    assert model.eval()(torch.rand(2, 3, 24, 32))[0] == {}


def test_at_first_it_expects_a_centre_nowhere() -> None:
    model = CenterNet(image=(3, 24, 32), outputs=3).eval()
    assert model(torch.rand(2, 3, 24, 32))[1][0]["scores"].max() < 0.3


def test_its_losses_are_float32_whatever_the_forward_pass_is() -> None:
    model = CenterNet(image=(3, 24, 32), outputs=3, channels=[4, 6])
    with torch.autocast("cpu", torch.bfloat16):
        losses, _ = model(torch.rand(2, 3, 24, 32), TARGETS)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_its_settings_are_read_back() -> None:
    settings: dict[str, Any] = {"channels": [4, 8], "norm": "group", "head_channels": 7}
    assert CenterNet(image=(1, 8, 8), outputs=2, **settings).live_values() == settings
