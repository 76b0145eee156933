"""Blocks whose arithmetic is known: three branches, two convolutions, and layers without shared weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainyard.errors import TrialError
from trainyard.models.locally_connected import LocallyConnected2d

MakeModel = Callable[..., Any]
BLOCKS = {"three_branches": 256, "two_convolutions": 32, "locally_connected": 32}
"""The channels that each answers with, without its head."""


@pytest.mark.parametrize(
    ("name", "size", "parameters"),
    [
        ("three_branches", 9, 128 * 3 + 9_248 * 3 + 24_832),
        ("three_branches", 32, 52_960),
        ("two_convolutions", 32, 5_088),
        ("locally_connected", 7, 448 * 25 + 4_640 * 9),
        ("locally_connected", 32, 4_040_960),
    ],
)
def test_a_block_has_the_parameters_of_its_workload(
    make_on_meta: MakeModel, count: Callable[..., int], name: str, size: int, parameters: int
) -> None:
    assert count(make_on_meta(name, image=(3, size, size), head="none")) == parameters


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_loses_two_pixels_at_each_side(make_model: MakeModel, name: str) -> None:
    block = make_model(name, image=(3, 9, 12), head="none")
    assert block(torch.rand(2, 3, 9, 12)).shape == (2, BLOCKS[name], 5, 8)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_head_makes_a_classifier_of_it(make_model: MakeModel, count: Callable[..., int], name: str) -> None:
    classifier = make_model(name, image=(2, 7, 8), outputs=6)
    assert classifier(torch.rand(3, 2, 7, 8)).shape == (3, 6)
    bare = make_model(name, image=(2, 7, 8), outputs=6, head="none")
    assert count(classifier) - count(bare) == (BLOCKS[name] + 1) * 6
    assert classifier.live_values() == {"head": "linear"}
    assert bare.live_values() == {"head": "none"}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_position_sees_five_pixels_each_way(make_model: MakeModel, name: str) -> None:
    image = torch.rand(1, 3, 11, 11, requires_grad=True)
    make_model(name, image=(3, 11, 11), head="none")(image)[0, :, 3, 3].sum().backward()
    assert image.grad is not None
    seen = (image.grad[0].abs().sum(0) > 0).nonzero()
    assert seen.amin(0).tolist() == [3, 3]
    assert seen.amax(0).tolist() == [7, 7]


def test_the_branches_see_more_and_more_about_one_centre(make_model: MakeModel) -> None:
    image = torch.rand(1, 3, 11, 11, requires_grad=True)
    block = make_model("three_branches", image=(3, 11, 11), head="none")
    joined: list[Tensor] = []
    block.get_submodule("joined").register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0]))
    block(image)
    for start, pixels in ((0, [5, 5]), (32, [4, 6]), (64, [3, 7])):
        image.grad = None
        joined[0][0, start : start + 32, 3, 3].sum().backward(retain_graph=True)
        assert image.grad is not None
        rows = (image.grad[0].abs().sum((0, 2)) > 0).nonzero()[:, 0]
        assert [int(rows.min()), int(rows.max())] == pixels


@pytest.mark.parametrize("name", BLOCKS)
def test_images_that_are_too_small(make_model: MakeModel, name: str) -> None:
    with pytest.raises(TrialError, match=rf"model {name}: images of 4x20 are too small, it needs 5 pixels each way"):
        make_model(name, image=(3, 4, 20))


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_a_locally_connected_layer_with_equal_weights_everywhere_is_a_convolution(kernel: int) -> None:
    convolution = nn.Conv2d(3, 5, kernel)
    assert convolution.bias is not None
    layer = LocallyConnected2d(3, 5, kernel, image=(7, 9))
    with torch.no_grad():
        layer.weight.copy_(convolution.weight.flatten(1).T.expand_as(layer.weight))
        layer.bias.copy_(convolution.bias.expand_as(layer.bias))
    images = torch.rand(4, 3, 7, 9)
    torch.testing.assert_close(layer(images), convolution(images))


def test_a_locally_connected_layer_has_weights_of_its_own_at_each_position() -> None:
    layer = LocallyConnected2d(2, 3, 3, image=(5, 6))
    images = torch.rand(4, 2, 5, 6)
    answers = layer(images)
    for row, column in ((0, 0), (1, 2), (2, 3)):
        position = row * 4 + column
        kernel = layer.weight[position].T.reshape(3, 2, 3, 3)
        window = images[:, :, row : row + 3, column : column + 3]
        expected = functional.conv2d(window, kernel, layer.bias[position, 0])[:, :, 0, 0]
        torch.testing.assert_close(answers[:, :, row, column], expected)
    changed = answers[:, :, 1, 2].sum()
    changed.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum((1, 2)).nonzero().flatten().tolist() == [6]


def test_a_locally_connected_layer_begins_as_a_convolution_does() -> None:
    torch.manual_seed(0)
    layer, convolution = LocallyConnected2d(16, 32, 3, image=(12, 12)), nn.Conv2d(16, 32, 3)
    assert layer.weight.std().item() == pytest.approx(convolution.weight.std().item(), rel=0.05)
    assert layer.weight.abs().max() <= 1 / 12
    assert layer.bias.abs().max() <= 1 / 12
    answers = layer(torch.randn(8, 16, 12, 12))
    assert answers.std().item() == pytest.approx(convolution(torch.randn(64, 16, 12, 12)).std().item(), rel=0.1)
