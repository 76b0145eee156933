"""torch's optimizers, without the import that they bring along."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trainyard.errors import RunError
from trainyard.spec import optimizer as spec

BASE_RATE = "base_lr"
"""In a parameter group: the job's learning rate, of which `lr` is a fraction that follows the schedule."""


def _eager(optimizer: type[torch.optim.Optimizer]) -> Any:
    """The optimizer without its wrappers for torch.compile, which import torch._dynamo to switch compilation off.

    That import took 4.6 s of CPU, more than torch itself (2.9 s), in every process that made an optimizer; neither
    TORCH_COMPILE_DISABLE nor TORCHDYNAMO_DISABLE avoids it (torch 2.15, 2 cores, 2026-11). What is left is what torch
    runs: results are the same, bit for bit. Where torch has no such wrapper, unwrapping changes nothing.
    """
    wrapped = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in wrapped}
    # One of step's wrappers also switches gradients off.
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods)


_ADAM, _ADAMW, _SGD = _eager(torch.optim.Adam), _eager(torch.optim.AdamW), _eager(torch.optim.SGD)


def build_optimizer(settings: spec.Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The job's optimizer over the parameters that are trained."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    # One kernel for all parameters; for six small tensors on a CPU 0.06 ms a step instead of 0.22.
    fused = trained[0].device.type in ("cpu", "cuda") and all(parameter.is_floating_point() for parameter in trained)
    optimizer = _build(settings, trained, fused=fused)
    for group in optimizer.param_groups:
        group[BASE_RATE] = settings.lr
    return optimizer


def _build(settings: spec.Optimizer, trained: list[nn.Parameter], *, fused: bool) -> torch.optim.Optimizer:
    shared = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": fused}
    match settings:
        case spec.Adam():
            return _ADAM(trained, betas=settings.betas, **shared)
        case spec.AdamW():
            return _ADAMW(trained, betas=settings.betas, **shared)
        case spec.Sgd():
            return _SGD(trained, momentum=settings.momentum, nesterov=settings.nesterov, **shared)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group[BASE_RATE] * factor


def rate(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of the last step."""
    return float(optimizer.param_groups[0]["lr"])


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the optimizer has learnt (momenta, steps), not its settings."""
    return {"name": _name(optimizer), "state": optimizer.state_dict()["state"]}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over what another optimizer of the same kind has learnt; the settings stay. RunError if its kind differs."""
    if state["name"] != _name(optimizer):
        raise RunError(
            f"a checkpoint of {state['name']} can't go on with {_name(optimizer)}: optimizer.name must stay."
        )
    # Without state_dict's groups, which would bring the other's settings along.
    optimizer.load_state_dict({"state": state["state"], "param_groups": optimizer.state_dict()["param_groups"]})


def live_values(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The settings that the optimizer works with, by their names in the job."""
    group = optimizer.param_groups[0]
    values = {"name": _name(optimizer), "lr": group[BASE_RATE], "weight_decay": group["weight_decay"]}
    if "betas" in group:
        return {**values, "betas": list(group["betas"])}
    return {**values, "momentum": group["momentum"], "nesterov": group["nesterov"]}


def _name(optimizer: torch.optim.Optimizer) -> str:
    return type(optimizer).__name__.lower()


def clip_gradients(parameters: Iterable[nn.Parameter], largest_norm: float) -> Tensor:
    """Scale the gradients so that their norm over all parameters is at most `largest_norm`; the norm before, unread."""
    return torch.nn.utils.clip_grad_norm_(parameters, largest_norm)
