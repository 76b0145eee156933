"""What tests of architectures share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainyard.models.build import build_model
from trainyard.spec.model import MODELS

MakeModel = Callable[..., nn.Module]


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """make_model("cnn", image=(3, 32, 32), outputs=10, dropout=0.1): a model as a job with these settings has it."""

    def make(name: str, *, image: tuple[int, int, int] = (3, 32, 32), outputs: int = 10, **settings: Any) -> nn.Module:
        return build_model(MODELS[name].model_validate({"name": name, **settings}), image, outputs)

    return make


@pytest.fixture(scope="session")
def make_on_meta(make_model: MakeModel) -> MakeModel:
    """The same without memory for its tensors, which take seconds to fill in large nets."""

    def make(name: str, **settings: Any) -> nn.Module:
        with torch.device("meta"):
            return make_model(name, **settings)

    return make


@pytest.fixture(scope="session")
def count() -> Callable[..., int]:
    """count(model, trained=True): numbers in the parameters that are trained, in those that aren't, or in all."""

    def add(model: nn.Module, *, trained: bool | None = None) -> int:
        return sum(p.numel() for p in model.parameters() if trained is None or p.requires_grad == trained)

    return add


@pytest.fixture(scope="session")
def statistics() -> Callable[[nn.Module], dict[str, Tensor]]:
    """Copies of the running means and variances of a model's norms, by name."""

    def copied(model: nn.Module) -> dict[str, Tensor]:
        return {name: buffer.clone() for name, buffer in model.named_buffers() if "running_" in name}

    return copied
