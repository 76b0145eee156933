"""A convolutional network seen from inside: its filters, and its feature maps of a photograph."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trainyard.models.inspection.arithmetic import Layer, LayerTable
from trainyard.models.inspection.tracing import trace

MAPS = 16
"""Feature maps that are shown of a layer: every n-th of its channels, so that there are as many."""


@dataclass(frozen=True, kw_only=True)
class FeatureMaps:
    """Some of the feature maps of a layer. channels: which. maps: float32 (len(channels), H, W)."""

    layer: Layer
    channels: Sequence[int]
    maps: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a model makes of an image. logits: float32 (K,), None for a model that answers with anything else."""

    maps: Sequence[FeatureMaps]
    logits: np.ndarray | None


def filter_layers(table: LayerTable) -> list[Layer]:
    """The first and the last convolution, among those larger than 1x1 if there are any."""
    convolutions = [layer for layer in table.layers if _has_filters(layer)]
    large = [layer for layer in convolutions if layer.kernel and max(layer.kernel) > 1]
    return _ends(large or convolutions)


def filter_slices(model: nn.Module, layer: Layer) -> np.ndarray:
    """float32 (filters, height, width): of each filter of a convolution what it has for channel 0."""
    weight = model.get_submodule(layer.path).get_parameter("weight").detach()
    return (weight[0] if layer.transposed else weight[:, 0]).float().cpu().numpy()


def map_layers(table: LayerTable) -> list[Layer]:
    """The layers whose feature maps show how a model sees: after the first pooling, and after the last.

    A net that goes on with convolutions after its last pooling is seen at its last feature maps instead, and one
    without pooling at the first that are smaller than the image. Global pooling, which leaves no positions, doesn't
    count. Empty for a model without feature maps.
    """
    maps = [layer for layer in table.layers if layer.output and len(layer.output) == 3 and min(layer.output[1:]) > 1]
    if not any(_is_windowed(layer) for layer in maps):
        return []
    poolings = [layer for layer in maps if _is_windowed(layer) and "pool" in layer.kind.lower()]
    smaller = [layer for layer in maps if layer.output and layer.output[1:] != table.image[1:]]
    first = (poolings or smaller or maps)[0]
    last = maps[-1]
    if poolings and not any(_is_windowed(layer) for layer in maps if layer.number > poolings[-1].number):
        last = poolings[-1]
    return _ends([first, last])


def look(model: nn.Module, image: Tensor, layers: Sequence[Layer]) -> Seen:
    """Run a model on an image (C, H, W) in [0, 1]. What the model raises passes through."""
    seen = trace(model, image[None], kept=[layer.number for layer in layers])
    maps = [_chosen(layer, seen.kept[layer.number][0]) for layer in layers]
    answer = seen.answer
    is_logits = isinstance(answer, Tensor) and answer.dim() == 2 and len(answer) == 1
    return Seen(maps=maps, logits=answer[0].float().cpu().numpy() if is_logits else None)


def most_likely(logits: np.ndarray) -> tuple[int, float]:
    """The class and its probability by softmax; of a single logit, by its sigmoid, class 1 or 0."""
    values = torch.from_numpy(logits).double()
    shares = values.softmax(0) if len(values) > 1 else torch.stack([1 - values[0].sigmoid(), values[0].sigmoid()])
    best = int(shares.argmax())
    return best, float(shares[best])


def as_grey(values: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W) of float (N, H, W): each picture by itself from its smallest value, black, to its largest."""
    low = values.min(axis=(1, 2), keepdims=True)
    span = values.max(axis=(1, 2), keepdims=True) - low
    scaled = np.divide(values - low, span, out=np.zeros_like(values), where=span > 0)
    return np.rint(scaled * 255).astype(np.uint8)


def _has_filters(layer: Layer) -> bool:
    is_convolution = layer.kind.startswith("Conv") and layer.kernel is not None and len(layer.kernel) == 2
    return is_convolution and not layer.is_function


def _is_windowed(layer: Layer) -> bool:
    return layer.kernel is not None and len(layer.kernel) == 2


def _ends(layers: Sequence[Layer]) -> list[Layer]:
    """The first and the last; one, if they are the same."""
    return [layers[0], layers[-1]] if len(layers) > 1 and layers[0] != layers[-1] else list(layers[:1])


def _chosen(layer: Layer, output: Tensor) -> FeatureMaps:
    channels = range(0, len(output), max(1, len(output) // MAPS))[:MAPS]
    return FeatureMaps(layer=layer, channels=channels, maps=output[list(channels)].float().cpu().numpy())
