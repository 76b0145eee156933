"""Plain and residual nets."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from trainyard.models.residual_net import Block, ResidualNet

MakeModel = Callable[..., Any]


@pytest.mark.parametrize(
    ("depth", "shortcuts", "parameters"),
    [(8, False, 75_290), (20, False, 269_722), (20, True, 272_474), (56, False, 853_018), (56, True, 855_770)],
)
def test_it_has_the_parameters_of_the_paper(
    make_on_meta: MakeModel, count: Callable[..., int], depth: int, shortcuts: bool, parameters: int
) -> None:
    """0.27 million for 20 layers and 0.85 for 56 (He et al. 2016, table 6), whose shortcuts have no parameters."""
    assert count(make_on_meta("residual_net", depth=depth, shortcuts=shortcuts)) == parameters


@pytest.mark.parametrize("depth", [20, 56])
def test_it_has_as_many_layers_as_it_says(make_on_meta: MakeModel, depth: int) -> None:
    """Projections, which are beside the layers, don't count."""
    net = make_on_meta("residual_net", depth=depth)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)]
    assert len(layers) + sum(isinstance(layer, nn.Linear) for layer in net.modules()) == depth


def test_shortcuts_are_the_identity_except_where_sizes_differ(make_model: MakeModel) -> None:
    blocks = [module for module in make_model("residual_net").modules() if isinstance(module, Block)]
    kinds = [type(block.shortcut).__name__ for block in blocks]
    assert kinds == [*["Identity"] * 3, "Sequential", *["Identity"] * 2, "Sequential", *["Identity"] * 2]


def test_a_block_whose_layers_answer_nothing_passes_on_what_it_gets() -> None:
    block = Block(4, 4, stride=1, shortcut=True).eval()
    nn.init.zeros_(block.second_norm.weight)
    features = torch.rand(2, 4, 5, 5)
    torch.testing.assert_close(block(features), features)
    plain = Block(4, 4, stride=1, shortcut=False).eval()
    nn.init.zeros_(plain.second_norm.weight)
    assert not plain(features).any()


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 32, 32), (3, 37, 50)])
@pytest.mark.parametrize("shortcuts", [True, False])
def test_it_takes_images_of_any_size(image: tuple[int, int, int], shortcuts: bool) -> None:
    net = ResidualNet(image=image, outputs=7, depth=8, shortcuts=shortcuts, widths=(4, 4, 6))
    assert net(torch.rand(2, *image)).shape == (2, 7)
    assert net.live_values() == {"depth": 8, "shortcuts": shortcuts, "widths": [4, 4, 6]}
