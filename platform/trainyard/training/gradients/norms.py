"""Norms of a model's layers as plain numbers: of a step, of the steps between two checks, of an epoch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import NamedTuple


class Norms(NamedTuple):
    """Of one layer at one step: the L2 norms of its gradient (before clipping), of its weights before the step, and of
    what the step added to them."""

    gradient: float
    weight: float
    update: float

    @property
    def ratio(self) -> float | None:
        """Update to weights; None where all weights are zero."""
        return self.update / self.weight if self.weight > 0 else None

    @property
    def finite(self) -> bool:
        return all(map(math.isfinite, self))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The layers that had a gradient at one step, in order from the input to the output.

    step: counted from 0 over all epochs. rate: the schedule's factor on the base learning rate.
    """

    step: int
    rate: float
    layers: Mapping[str, Norms]

    @property
    def finite(self) -> bool:
        return all(norms.finite for norms in self.layers.values())


@dataclass(frozen=True, kw_only=True)
class Block:
    """The steps from one check to the next: from `start` to before `end`, counted from 0 over all epochs.

    loss: mean over them and over all workers. samples: of those that were measured.
    """

    start: int
    end: int
    loss: float
    samples: Sequence[Sample]


def total_gradient(layers: Mapping[str, Norms]) -> float:
    """The norm over all layers."""
    return math.hypot(*(norms.gradient for norms in layers.values()))


def typical(samples: Sequence[Sample]) -> Sample | None:
    """The medians of each layer's norms, as a sample at the last of the steps; None without samples."""
    if not samples:
        return None
    last = samples[-1]
    found = {name: [sample.layers[name] for sample in samples if name in sample.layers] for name in last.layers}
    medians = {name: Norms(*map(median, zip(*norms, strict=True))) for name, norms in found.items()}
    return Sample(step=last.step, rate=last.rate, layers=medians)


class Means:
    """The layers' mean norms over the samples of an epoch."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def reset(self) -> None:
        self._values.clear()

    def add(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            for name, norms in sample.layers.items():
                if not norms.finite:  # a step that the scaler of float16 left out
                    continue
                self._values.setdefault(f"gradients/{name}/norm", []).append(norms.gradient)
                if norms.ratio is not None:
                    self._values.setdefault(f"gradients/{name}/update", []).append(norms.ratio)

    def compute(self) -> dict[str, float]:
        """`gradients/<layer>/norm`, and `gradients/<layer>/update`: a step's change as a fraction of the weights."""
        return {name: fmean(values) for name, values in self._values.items()}
