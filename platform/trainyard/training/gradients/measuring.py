"""Norms of gradients, weights and updates, measured by layer while a model trains, without waiting for the device."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainyard.models.locally_connected import LocallyConnected2d
from trainyard.training.gradients.norms import Norms, Sample

FIRST_STEPS = 10
"""A trial's first steps are all measured: most of what explodes does so at once."""

NO_GRADIENT = -1.0
"""Stands for the norm of a gradient that a weight did not get."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A module with weights of two or more dimensions that are trained: those weights, and its path in the model."""

    name: str
    module: nn.Module
    weights: tuple[nn.Parameter, ...]

    @property
    def outputs(self) -> int | None:
        """How many numbers all its weights make together, once each: n of them, with variance (their norm)^2 / n, of
        independent inputs with variance 1. None for modules of which that isn't known.
        """
        match self.module:
            case nn.Linear():
                return self.module.out_features
            case nn.ConvTranspose1d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
                # Each input makes a whole kernel, of which as much falls on one output as the strides leave.
                return self.module.out_channels * math.prod(self.module.stride)
            case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
                return self.module.out_channels
            case LocallyConnected2d():
                positions, _, channels = self.module.weight.shape
                return positions * channels
        return None


def layers_of(model: nn.Module) -> list[Layer]:
    """The layers of a model, in the order of their definition.

    Convolutions, dense layers, attention, embeddings. Biases and norm layers are left out: they begin at zero and one,
    so that a ratio of their updates says little, and go with the layer before them. Weights that several modules share
    belong to the first. Frozen ones are left out.
    """
    layers: list[Layer] = []
    seen: set[int] = set()
    for path, module in model.named_modules():
        own = [
            (name, weight)
            for name, weight in module.named_parameters(recurse=False)
            if weight.requires_grad and weight.dim() >= 2 and not name.startswith("bias") and id(weight) not in seen
        ]
        seen.update(id(weight) for _, weight in own)
        if own and path:
            layers.append(Layer(name=path, module=module, weights=tuple(weight for _, weight in own)))
        else:  # a model that is one layer, or has weights beside its layers: they go by their own names
            layers += [Layer(name=name, module=module, weights=(weight,)) for name, weight in own]
    return layers


class LayerNorms:
    """Measures a model's layers on some of its steps.

    `before_update` and `after_update` stand around the optimizer's step, on steps that are `due`: gradients as they
    are then, averaged over the workers and unscaled, before they are clipped. All stays on the device until `read`.
    In between a copy of the weights is held, for which the activations have made room.
    """

    def __init__(self, model: nn.Module, *, every_steps: int, steps_per_epoch: int) -> None:
        self.layers = layers_of(model)
        self._weights: list[Tensor] = [weight for layer in self.layers for weight in layer.weights]
        self._every_steps = every_steps
        self._steps_per_epoch = steps_per_epoch
        self._called: dict[str, None] = {}
        self._copies: list[Tensor] = []
        self._gradients: list[Tensor] = []
        self._steps: list[tuple[int, float]] = []
        self._rows: list[Tensor] = []
        for layer in self.layers:
            _note_first_call(layer, self._called)

    def due(self, step: int) -> bool:
        """Whether a step is measured: one in every so many, a trial's first ones, and the last of each epoch."""
        last_of_epoch = (step + 1) % self._steps_per_epoch == 0
        return bool(self._weights) and (step < FIRST_STEPS or step % self._every_steps == 0 or last_of_epoch)

    @torch.no_grad()
    def before_update(self, step: int, rate: float) -> None:
        """step: counted from 0 over all epochs. rate: the schedule's factor."""
        self._steps.append((step, rate))
        self._gradients = _norms_of_gradients(self._weights)
        self._copies = [weight.clone() for weight in self._weights]

    @torch.no_grad()
    def after_update(self) -> None:
        weights = _norms(self._copies)
        torch._foreach_sub_(self._copies, self._weights)
        self._rows.append(torch.stack([*self._gradients, *weights, *_norms(self._copies)]))
        self._copies, self._gradients = [], []

    def read(self) -> list[Sample]:
        """What was measured since the last call. Waits for the device."""
        rows = torch.stack(self._rows).tolist() if self._rows else []
        order = self._order()
        samples = [
            Sample(step=step, rate=rate, layers=self._by_layer(row, order))
            for (step, rate), row in zip(self._steps, rows, strict=True)
        ]
        self._steps, self._rows = [], []
        return samples

    def _by_layer(self, row: Sequence[float], order: Sequence[int]) -> dict[str, Norms]:
        count, start = len(self._weights), 0
        parts: list[tuple[Sequence[float], ...]] = []
        for layer in self.layers:
            end = start + len(layer.weights)
            parts.append(tuple(row[count * part + start : count * part + end] for part in range(3)))
            start = end
        found: dict[str, Norms] = {}
        for index in order:
            gradients, weights, updates = parts[index]
            given = [norm for norm in gradients if norm != NO_GRADIENT]
            if given:
                found[self.layers[index].name] = Norms(_joined(given), _joined(weights), _joined(updates))
        return found

    def _order(self) -> list[int]:
        """The layers as the first forward pass called them; one whose weights were used without a call stays behind the
        one that it was defined after."""
        rank = {name: position for position, name in enumerate(self._called)}
        places, place = [], -1
        for layer in self.layers:
            place = rank.get(layer.name, place)
            places.append(place)
        return sorted(range(len(places)), key=places.__getitem__)


def _norms_of_gradients(weights: Sequence[Tensor]) -> list[Tensor]:
    gradients = [weight.grad for weight in weights]
    given = [gradient for gradient in gradients if gradient is not None]
    norms = iter(_norms(given) if given else ())
    return [
        weight.new_full((), NO_GRADIENT, dtype=torch.float32) if gradient is None else next(norms)
        for weight, gradient in zip(weights, gradients, strict=True)
    ]


def _norms(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """In float32 at least: float16 ends at 65,504, which many small numbers reach together."""
    wide = [tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in tensors]
    return torch._foreach_norm(wide)


def _note_first_call(layer: Layer, called: dict[str, None]) -> None:
    def note(module: nn.Module, inputs: object) -> None:
        called.setdefault(layer.name)
        hook.remove()

    hook = layer.module.register_forward_pre_hook(note)


def _joined(norms: Sequence[float]) -> float:
    """The norm over several weights. Not math.hypot, by which infinity outweighs NaN."""
    return norms[0] if len(norms) == 1 else math.sqrt(sum(norm * norm for norm in norms))
