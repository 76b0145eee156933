"""What is wrong with a training between two checks, as far as norms and loss show. Pure functions of numbers.

Whether a symptom lasts, and so becomes a finding, is not judged here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from trainyard.spec.gradients import Gradients
from trainyard.training.gradients.norms import Block, Norms, Sample, total_gradient

SMALLEST_FIRST_LOSS = 0.1
"""A training that begins with a smaller loss (weights that were trained before) is compared with this one instead."""

LEAST_LAYERS = 4
"""Of fewer layers none is far from the output."""

AS_GOOD_AS_LEARNT = 1e-3
"""Below this share of the first loss gradients may be exactly zero, as there is nothing left to learn."""

LEAST_RATE = 1e-3
"""Steps at a smaller factor of the schedule tell nothing of the pace at its full rate: float32 rounds most of what such
a step would change away, down to nothing."""

At = Callable[[int], str]
"""Names a step, counted from 0 over all epochs: `step 5 of epoch 2`."""


class Symptom(NamedTuple):
    """Something wrong, and the layer that shows it most; without one where nothing of a layer was measured."""

    layer: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What a training began with: the loss of its first step, and the norms of each layer when first measured."""

    loss: float
    layers: Mapping[str, Norms]

    @property
    def reference(self) -> float:
        return max(self.loss, SMALLEST_FIRST_LOSS)

    def growth(self, name: str, norms: Norms) -> float:
        """How many times as large the layer's gradient or its weights are, whichever has grown more."""
        first = self.layers.get(name)
        if first is None:
            return 0.0
        pairs = ((norms.gradient, first.gradient), (norms.weight, first.weight))
        return max((now / before for now, before in pairs if before > 0), default=0.0)


def exploding(block: Block, now: Sample | None, began: Beginning, settings: Gradients, at: At) -> Symptom | None:
    """A loss, gradients or weights that have grown many times over; the last two where the loss is much worse, too."""
    times, layers = settings.explosion, now.layers if now else {}
    layer = max(layers, key=lambda name: began.growth(name, layers[name]), default="")
    grown = block.loss / began.reference
    loss = f"the loss is {block.loss:.4g} at {at(block.end - 1)}, {grown:.3g} times that of the first step"
    if grown >= times:
        return Symptom(layer, loss + _evidence(layer, layers, began))
    if now is None or not much_worse(block, began, settings):
        return None
    first = {name: began.layers[name] for name in layers if name in began.layers}
    heavier = any(layers[name].weight > times * norms.weight > 0 for name, norms in first.items())
    if heavier or total_gradient(layers) > times * total_gradient(first) > 0:
        return Symptom(layer, loss + _evidence(layer, layers, began))
    return None


def much_worse(block: Block, began: Beginning, settings: Gradients) -> bool:
    """Whether the loss is half the way to an explosion, in orders of magnitude."""
    return block.loss > math.sqrt(settings.explosion) * began.reference


def _evidence(layer: str, layers: Mapping[str, Norms], began: Beginning) -> str:
    """`; its gradient norm 4.1e+03 (first 0.8), its weights' norm 12.1 (first 3.3)`."""
    if layer not in layers or layer not in began.layers:
        return ""
    now, first = layers[layer], began.layers[layer]
    gradient = f"its gradient's norm is {now.gradient:.3g} (first {first.gradient:.3g})"
    return f"; {gradient}, its weights' norm {now.weight:.3g} (first {first.weight:.3g})"


def vanishing(now: Sample, settings: Gradients) -> Symptom | None:
    """The third of the layers nearest to the input against the third nearest to the output, by their medians."""
    layers = now.layers
    if len(layers) < LEAST_LAYERS:
        return None
    names, third = list(layers), len(layers) // 3
    near_input, near_output = names[:third], names[-third:]
    small, large = (median(layers[name].gradient for name in part) for part in (near_input, near_output))
    if large == 0 or small >= settings.vanishing * large or (small == 0 and not _fades(layers, settings)):
        return None
    layer, last = min(near_input, key=lambda name: layers[name].gradient), near_output[-1]
    ratio = layers[layer].ratio
    moves = "" if ratio is None else f"; a step changes it by {ratio:.2g} of its weights"
    against = f"against {layers[last].gradient:.3g} in layer {last} near the output"
    return Symptom(layer, f"its gradient's norm is {layers[layer].gradient:.3g}, {against}{moves}")


def _fades(layers: Mapping[str, Norms], settings: Gradients) -> bool:
    """Whether gradients that are zero come after ones that get smaller and smaller, beyond what float32 holds."""
    some = [norms.gradient for norms in layers.values() if norms.gradient > 0]
    return bool(some) and some[0] < settings.vanishing * some[-1]


def shrinking(now: Sample, began: Beginning, settings: Gradients) -> Symptom | None:
    """Weights that have come close to zero: by as much as they would have grown in an explosion."""
    first = {name: began.layers[name].weight for name in now.layers if name in began.layers}
    shares = {name: now.layers[name].weight / weight for name, weight in first.items() if weight > 0}
    layer = min(shares, key=shares.__getitem__, default="")
    if not layer or shares[layer] * settings.explosion > 1:
        return None
    return Symptom(layer, f"its weights' norm has shrunk from {first[layer]:.3g} to {now.layers[layer].weight:.3g}")


def dead(block: Block, samples: Sequence[Sample], began: Beginning) -> Symptom | None:
    """The layer nearest to the output of those without any gradient: the others get theirs through it."""
    if block.loss <= AS_GOOD_AS_LEARNT * began.loss:
        return None
    names = list(samples[-1].layers)
    still = [name for name in names if all(s.layers[name].gradient == 0 for s in samples if name in s.layers)]
    if not still:
        return None
    others = f", as is that of {listed(still[:-1])} before it" if still[1:] else ""
    return Symptom(still[-1], f"its gradient is exactly zero{others}, while the loss is {block.loss:.4g}")


def stalled(block: Block, samples: Sequence[Sample], began: Beginning, settings: Gradients) -> Symptom | None:
    """Updates by which not even the quickest layer gets anywhere, nor would at the schedule's full rate."""
    paces = [
        (norms.ratio / sample.rate, norms.ratio, name)
        for sample in samples
        for name, norms in sample.layers.items()
        if norms.ratio is not None and sample.rate >= LEAST_RATE
    ]
    if not paces or max(paces)[0] >= settings.stalled:
        return None
    _, ratio, layer = max(paces)
    stands = f"the loss is {block.loss:.4g}, and was {began.loss:.4g} at the first step"
    return Symptom(layer, f"a step changes it by {ratio:.2g} of its weights, and all others by less; {stands}")


def listed(names: Sequence[str]) -> str:
    """`layer 3`, `layers 0 and 3`, `5 layers from 0 to 9`."""
    if len(names) == 1:
        return f"layer {names[0]}"
    if len(names) == 2:
        return f"layers {names[0]} and {names[1]}"
    return f"{len(names)} layers from {names[0]} to {names[-1]}"
