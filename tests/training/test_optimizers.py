"""Optimizers are torch's, bit for bit, without the import of torch._dynamo."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from trainyard.spec import optimizer as spec
from trainyard.training.optimizers import build_optimizer, clip_gradients, set_rate


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def descend(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    inputs = torch.linspace(-1, 1, 20).reshape(4, 5)
    for _ in range(5):
        optimizer.zero_grad()
        model(inputs).square().sum().backward()
        optimizer.step()
    return list(model.parameters())


@pytest.mark.parametrize(
    ("settings", "theirs", "arguments"),
    [
        (spec.Adam(name="adam", lr=0.1, weight_decay=0.3), torch.optim.Adam, {"weight_decay": 0.3}),
        (spec.AdamW(name="adamw", lr=0.1, betas=(0.8, 0.9)), torch.optim.AdamW, {"betas": (0.8, 0.9)}),
        (
            spec.Sgd(name="sgd", lr=0.1, momentum=0.7, nesterov=True),
            torch.optim.SGD,
            {"momentum": 0.7, "nesterov": True},
        ),
    ],
    ids=["adam", "adamw", "sgd"],
)
def test_they_are_torchs(
    settings: spec.Optimizer, theirs: Callable[..., torch.optim.Optimizer], arguments: dict[str, Any]
) -> None:
    model = network()
    reference = copy.deepcopy(model)
    ours = descend(model, build_optimizer(settings, model.parameters()))
    expected = descend(reference, theirs(reference.parameters(), lr=0.1, fused=True, **arguments))
    assert all(torch.equal(weight, other) for weight, other in zip(ours, expected, strict=True))


def test_frozen_parameters_are_left_out() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = build_optimizer(spec.Sgd(name="sgd", lr=0.1), model.parameters())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


def test_the_rate_is_a_fraction_of_the_base_rate() -> None:
    optimizer = build_optimizer(spec.Sgd(name="sgd", lr=0.1), network().parameters())
    set_rate(optimizer, 0.5)
    set_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)


def test_gradients_are_clipped_together() -> None:
    model = network()
    model(torch.ones(4, 5)).sum().backward()
    norm = clip_gradients(model.parameters(), 0.5)
    assert norm > 0.5
    gradients = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    assert torch.cat(gradients).norm().item() == pytest.approx(0.5)
