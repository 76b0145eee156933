"""Parts of a model that aren't trained."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.freezing import PartlyFrozen


class Net(PartlyFrozen):
    """Two stages, each a convolution, batch norm and dropout, and a classifier."""

    def __init__(self, *patterns: str) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"first": stage(3), "second": stage(4)})
        self.body["head"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        self.freeze(self.body, patterns)

    def forward(self, images: Tensor) -> Tensor:
        for layer in self.body.values():
            images = layer(images)
        return images


def stage(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))


def trained(net: nn.Module) -> list[str]:
    return [name.removeprefix("body.") for name, parameter in net.named_parameters() if parameter.requires_grad]


def step(net: nn.Module) -> None:
    net.train()
    net(torch.randn(8, 3, 6, 6)).square().sum().backward()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.1)


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["first", "second"], ["head.2.weight", "head.2.bias"]),
        (["first.*", "second.*"], ["head.2.weight", "head.2.bias"]),
        (["*.weight"], ["first.0.bias", "first.1.bias", "second.0.bias", "second.1.bias", "head.2.bias"]),
        (["first.0", "second", "head.2.bias"], ["first.1.weight", "first.1.bias", "head.2.weight"]),
        (
            [],
            [
                f"{layer}.{kind}"
                for layer in ("first.0", "first.1", "second.0", "second.1", "head.2")
                for kind in ("weight", "bias")
            ],
        ),
    ],
)
def test_patterns_name_modules_and_parameters(patterns: list[str], left: list[str]) -> None:
    assert trained(Net(*patterns)) == left


def test_what_is_frozen_stays_as_it_is_through_training(statistics: Callable[..., dict[str, Tensor]]) -> None:
    torch.manual_seed(0)
    net = Net("first")
    before = copy.deepcopy(net.state_dict())
    for _ in range(3):
        step(net)
        net.train().eval()
    after = net.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not {name for name in changed if name.startswith("body.first.")}
    assert {"body.second.0.weight", "body.second.1.running_mean", "body.head.2.bias"} <= changed


def test_only_what_is_trained_has_gradients() -> None:
    net = Net("first", "second.0")
    step(net)
    assert [name for name, parameter in net.named_parameters() if parameter.grad is not None] == [
        "body.second.1.weight",
        "body.second.1.bias",
        "body.head.2.weight",
        "body.head.2.bias",
    ]


def test_modes_follow_train_except_where_frozen() -> None:
    net = Net("first")
    for _ in range(2):
        net.train()
        assert {name: module.training for name, module in net.body.named_children()} == {
            "first": False,
            "second": True,
            "head": True,
        }
        assert not any(module.training for module in net.body["first"].modules())
        net.eval()
        assert not any(module.training for module in net.modules())


def test_a_norm_of_which_all_parameters_are_frozen_keeps_its_statistics() -> None:
    net = Net("first.1.*").train()
    assert [module.training for module in net.body["first"].children()] == [True, False, True, True]


def test_no_graph_is_recorded_up_to_the_first_trained_layer() -> None:
    net = Net("first").train()
    images = torch.randn(2, 3, 6, 6)
    assert net.body["first"](images).grad_fn is None
    assert net(images).grad_fn is not None


def test_a_copy_is_frozen_too() -> None:
    twin = copy.deepcopy(Net("first")).train()
    assert not twin.body["first"].training
    assert twin.body["second"].training


@pytest.mark.parametrize(
    ("pattern", "hint"), [("frist", "Did you mean first?"), ("layer4", "Its parts are first, second, head.")]
)
def test_a_pattern_that_names_nothing(pattern: str, hint: str) -> None:
    with pytest.raises(TrialError) as refusal:
        Net("first", pattern)
    assert str(refusal.value) == f"freeze: no module or parameter is called {pattern}. {hint}"
