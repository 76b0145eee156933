"""Fast-SCNN."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trainyard.errors import TrialError
from trainyard.models.fast_scnn import FastScnn

MakeModel = Callable[..., Any]


def test_it_has_the_parameters_of_the_report(make_on_meta: MakeModel, count: Callable[..., int]) -> None:
    net = make_on_meta("fast_scnn", image=(3, 360, 480), outputs=11)
    assert count(net) == 1_135_835
    by_part = {name: count(part) for name, part in net.named_children() if count(part)}
    assert by_part == {
        "downsample": 6_480,
        "deep": 1_065_600,
        "fusion": 26_752,
        "separable": 35_584,
        "classifier": 129 * 11,
    }


def shapes(parts: Iterable[nn.Module], image: Tensor, net: nn.Module) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """What each of these parts of a net is given, and what it answers with: channels, height and width."""
    found: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def note(module: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
        found.append((tuple(given[0].shape[1:]), tuple(answer.shape[1:])))

    for part in parts:
        part.register_forward_hook(note)
    net(image)
    return found


def test_its_branches_have_the_sizes_of_the_paper(make_on_meta: MakeModel) -> None:
    """An eighth of the image; in the deep branch a 16th, a 32nd and once more a 32nd."""
    net = make_on_meta("fast_scnn", image=(3, 360, 480), outputs=11)
    parts = (net.downsample, *net.deep, net.fusion, net.separable)
    found = shapes(parts, torch.empty(1, 3, 360, 480, device="meta"), net)
    assert [answer for _, answer in found] == [
        (64, 45, 60),
        (64, 23, 30),
        (96, 12, 15),
        (128, 12, 15),
        (128, 12, 15),
        (128, 45, 60),
        (128, 45, 60),
    ]


def test_its_pyramid_pools_to_four_grids(make_on_meta: MakeModel) -> None:
    net = make_on_meta("fast_scnn", image=(3, 360, 480), outputs=11)
    found = shapes(net.deep[-1].branches, torch.empty(1, 3, 360, 480, device="meta"), net)
    assert found == [((128, side, side), (32, side, side)) for side in (1, 2, 3, 6)]


def test_it_costs_half_a_billion_multiply_adds(make_on_meta: MakeModel) -> None:
    net = make_on_meta("fast_scnn", image=(3, 360, 480), outputs=11)
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, 3, 360, 480, device="meta"))
    assert counter.get_total_flops() == 2 * 562_164_800


@pytest.mark.parametrize("size", [(32, 32), (45, 60), (33, 101)], ids=["least", "small", "odd"])
@pytest.mark.parametrize("width", [0.1, 0.5])
def test_any_size_is_answered_for_each_pixel(size: tuple[int, int], width: float) -> None:
    net = FastScnn(image=(2, *size), outputs=5, width=width, blocks=[1, 2, 1])
    assert net(torch.rand(2, 2, *size)).shape == (2, 5, *size)
    assert net.eval()(torch.rand(1, 2, *size)).shape == (1, 5, *size)


def test_a_pixel_sees_the_whole_image() -> None:
    """By the pyramid's pooling; the rest of it sees some hundred pixels."""
    torch.manual_seed(0)
    net = FastScnn(image=(1, 256, 512), outputs=1, width=0.25, blocks=[1, 1, 1]).eval()
    image = torch.rand(1, 1, 256, 512, requires_grad=True)
    net(image)[0, 0, 0, 0].backward()
    assert image.grad is not None
    assert image.grad[0, 0, -64:, -64:].abs().max() > 0


def test_images_that_are_too_small() -> None:
    message = (
        r"model fast_scnn: images of 31x90 are too small, it needs 32 pixels each way. Set a larger data.image_size."
    )
    with pytest.raises(TrialError, match=message):
        FastScnn(image=(3, 31, 90), outputs=2)


def test_its_settings_are_read_back() -> None:
    settings: dict[str, Any] = {"width": 0.25, "blocks": [1, 2, 3], "dropout": 0.1}
    assert FastScnn(image=(1, 32, 32), outputs=2, **settings).live_values() == settings
