"""The arithmetic of a network: for each layer the size of its output, its receptive field, and what it costs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn

from trainyard.models.inspection.receptive_fields.field import Extent
from trainyard.models.inspection.tracing import Step, trace

_MOST_IN_ONE = 0.8
"""Share of a model's layers above which a part of it is taken apart."""

_MOST_PARTS = 16
"""More than these are no overview any more."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What layers hold and do for one image.

    parameters: all of them; frozen: those that aren't trained. buffers: numbers that are saved with the parameters and
    not trained, such as running statistics; counters are left out. multiply_adds: of convolutions and matrix products.
    activation_bytes: of all that depends on the image and is written (what is done in place writes nothing new), as
    training keeps it.
    """

    parameters: int = 0
    frozen: int = 0
    buffers: int = 0
    multiply_adds: int = 0
    activation_bytes: int = 0

    @property
    def trainable(self) -> int:
        return self.parameters - self.frozen

    def __add__(self, other: "Costs") -> "Costs":
        return Costs(
            parameters=self.parameters + other.parameters,
            frozen=self.frozen + other.frozen,
            buffers=self.buffers + other.buffers,
            multiply_adds=self.multiply_adds + other.multiply_adds,
            activation_bytes=self.activation_bytes + other.activation_bytes,
        )


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A call of a layer or of a function, or several of them together.

    number: in the order of execution, from 1 on; of several, the last one's. path: of the module; for a function that
    of the module that calls it, empty for the model itself. kind: the class of a layer, the name of a function.
    inputs: the numbers of the layers that made them (0: the image), with their sizes. output: its size without the
    batch, (C, H, W) for feature maps; None if nothing of it depends on the image. kernel, stride, dilation: along each
    side. field: along rows and columns; None if nothing depends on the image. again: it was called before; its
    parameters are counted there. statistics: it normalises with statistics over positions, which the field leaves out.
    """

    number: int
    path: str
    kind: str
    is_function: bool = False
    inputs: Mapping[int, tuple[int, ...]]
    output: tuple[int, ...] | None
    kernel: tuple[int, ...] | None = None
    stride: tuple[int, ...] | None = None
    dilation: tuple[int, ...] | None = None
    groups: int = 1
    transposed: bool = False
    field: tuple[Extent, Extent] | None
    again: bool = False
    statistics: bool = False
    costs: Costs


@dataclass(frozen=True, kw_only=True)
class Group:
    """A part of a model. layers: how many calls. output, field: of its last layer."""

    path: str
    kind: str
    layers: int
    output: tuple[int, ...] | None
    field: tuple[Extent, Extent] | None
    costs: Costs


@dataclass(frozen=True, kw_only=True)
class LayerTable:
    """A model on images of one size.

    image: (C, H, W). totals: of all that the model has, also of what no layer uses: `unused` names those parameters.
    """

    image: tuple[int, int, int]
    layers: tuple[Layer, ...]
    totals: Costs
    unused: tuple[str, ...]


def layer_table(model: nn.Module, image: tuple[int, int, int]) -> LayerTable:
    """Run a model once on an image (C, H, W), in evaluation mode, on the device that it is on, which may be meta.

    What the model raises passes through.
    """
    first = next((tensor for tensor in [*model.parameters(), *model.buffers()]), torch.empty(0))
    steps = trace(model, torch.zeros((1, *image), device=first.device)).steps
    stored = _stored(model)
    layers = tuple(_layer(step, image, stored) for step in steps)
    used = {name for step in steps for name in step.stored}
    return LayerTable(
        image=image,
        layers=layers,
        totals=_total(stored.values()) + _total(_running(step) for step in steps),
        unused=tuple(name for name, costs in stored.items() if name not in used and costs.parameters),
    )


def measured(build: Callable[[], nn.Module], image: tuple[int, int, int]) -> tuple[nn.Module, LayerTable]:
    """A model and its table. It is built and run without memory, on torch's meta device, unless it needs values.

    What building or running raises passes through.
    """
    try:
        with torch.device("meta"):
            model = build()
        return model, layer_table(model, image)
    except (RuntimeError, NotImplementedError, TypeError, ValueError):  # what it needs values for, or a flaw of its own
        model = build()
        return model, layer_table(model, image)


def folded(table: LayerTable, model: nn.Module, depth: int) -> tuple[Layer, ...]:
    """The layers with those in a row put together that share the first `depth` parts of their paths.

    Functions that a module above that depth calls stay by themselves.
    """

    def place(layer: Layer) -> tuple[str, int]:
        parts = layer.path.split(".") if layer.path else []
        return ".".join(parts[:depth]), layer.number if len(parts) < depth else 0

    return tuple(_together(list(layers), path, model) for (path, _), layers in groupby(table.layers, key=place))


def groups(table: LayerTable, model: nn.Module) -> tuple[Group, ...]:
    """The parts of a model, in the order of their first layers: its children, or theirs where one is nearly all."""
    parts, depth = _parts(table, 1), 1
    while max(map(len, parts.values()), default=0) > _MOST_IN_ONE * len(table.layers):
        depth += 1
        deeper = _parts(table, depth)
        if len(deeper) > _MOST_PARTS or depth > 1 + max(layer.path.count(".") for layer in table.layers):
            break
        parts = deeper
    return tuple(_group(path, layers, model) for path, layers in parts.items())


def _parts(table: LayerTable, depth: int) -> dict[str, list[Layer]]:
    parts: dict[str, list[Layer]] = {}
    for layer in table.layers:
        parts.setdefault(_beginning(layer.path, depth), []).append(layer)
    return parts


def _beginning(path: str, depth: int) -> str:
    return ".".join(path.split(".")[:depth])


def _group(path: str, layers: Sequence[Layer], model: nn.Module) -> Group:
    return Group(
        path=path,
        kind=type(model.get_submodule(path)).__name__,
        layers=len(layers),
        output=layers[-1].output,
        field=layers[-1].field,
        costs=_total(layer.costs for layer in layers),
    )


def _together(layers: Sequence[Layer], path: str, model: nn.Module) -> Layer:
    if len(layers) == 1:
        return layers[0]
    numbers = {layer.number for layer in layers}
    outside = {own: size for layer in layers for own, size in layer.inputs.items() if own not in numbers}
    last = layers[-1]
    return Layer(
        number=last.number,
        path=path,
        kind=type(model.get_submodule(path)).__name__,
        inputs=outside,
        output=last.output,
        field=last.field,
        again=all(layer.again for layer in layers if not layer.is_function),
        statistics=any(layer.statistics for layer in layers),
        costs=_total(layer.costs for layer in layers),
    )


def _layer(step: Step, image: tuple[int, int, int], stored: Mapping[str, Costs]) -> Layer:
    window = step.window
    return Layer(
        number=step.number,
        path=step.path,
        kind=step.kind,
        is_function=step.is_function,
        inputs=step.inputs,
        output=None if step.output is None else tuple(step.output.shape[1:]),
        kernel=_sides(window.get("kernel")),
        stride=_sides(window.get("stride")),
        dilation=_sides(window.get("dilation")),
        groups=window.get("groups", 1),
        transposed=window.get("transposed", False),
        field=None if step.output is None else step.reach.extents(*image[1:]),
        again=step.again,
        statistics=step.statistics,
        costs=_total(stored[name] for name in step.stored) + _running(step),
    )


def _running(step: Step) -> Costs:
    return Costs(multiply_adds=step.multiply_adds, activation_bytes=step.nbytes)


def _sides(value: int | Sequence[int] | None) -> tuple[int, ...] | None:
    return None if value is None else tuple([value] if isinstance(value, int) else value)


def _stored(model: nn.Module) -> dict[str, Costs]:
    """Each parameter and buffer by its name; buffers that aren't saved, and counters, count nothing."""
    unsaved = {id(module._buffers[name]) for module in model.modules() for name in module._non_persistent_buffers_set}
    parameters = {
        name: Costs(parameters=parameter.numel(), frozen=0 if parameter.requires_grad else parameter.numel())
        for name, parameter in model.named_parameters()
    }
    return parameters | {
        name: Costs(buffers=buffer.numel() if buffer.is_floating_point() and id(buffer) not in unsaved else 0)
        for name, buffer in model.named_buffers()
    }


def _total(costs: Iterable[Costs]) -> Costs:
    return sum(costs, Costs())
