"""A dimension of a search: what a sampler chooses one value for."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainyard.spec.distributions import Categorical, Condition, Distribution, Float, Int, Simplex
from trainyard.spec.simplex import lattice


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One independent choice. A parameter is one dimension, but a simplex of K terms without a step is K - 1.

    name: the path of the parameter, or `loss.simplex.0` for the dimensions of a simplex at loss.
    parameter: the path under which the space states it.
    kind: float and int have low, high, log and step (None: any float); categorical has choices.
    choices: scalars, lists of scalars, or for a simplex with a step its points as tuples of weights.
    when: all of these must hold for the dimension to be chosen at all.
    """

    name: str
    parameter: str
    kind: Literal["float", "int", "categorical"]
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    when: Mapping[str, Condition] = field(default_factory=dict)

    @property
    def count(self) -> int | None:
        """How many values there are; None when there is no end of them."""
        if self.kind == "categorical":
            return len(self.choices)
        return None if self.step is None else self._steps + 1

    @property
    def points(self) -> tuple[Any, ...] | None:
        """All values, in order; None when there is no end of them."""
        if self.kind == "categorical":
            return self.choices
        if self.step is None:
            return None
        return tuple(self._at(index) for index in range(self._steps + 1))

    @property
    def middle(self) -> Any:
        """The value half-way, in the logarithm where that is searched."""
        if self.kind == "categorical":
            return self.choices[len(self.choices) // 2]
        if self.step is not None and not self.log:
            return self._at(self._steps // 2)
        half = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return round(half) if self.kind == "int" else half

    def nearest(self, number: float) -> float:
        """The value nearest to a number within the bounds of a float or an int."""
        if self.step is None:
            return number
        value: float = self._at(round((number - self.low) / self.step))
        return value

    def draw(self, generator: random.Random) -> Any:
        """A value at random: uniform, or uniform in the logarithm."""
        if self.kind == "categorical":
            return generator.choice(self.choices)
        if self.log:
            half = 0.5 if self.kind == "int" else 0.0
            value = math.exp(generator.uniform(math.log(self.low - half), math.log(self.high + half)))
            value = min(max(value, self.low), self.high)
            return round(value) if self.kind == "int" else value
        if self.step is not None:
            return self._at(generator.randrange(self._steps + 1))
        return generator.uniform(self.low, self.high)

    @property
    def _steps(self) -> int:
        assert self.step is not None
        return round((self.high - self.low) / self.step)

    def _at(self, index: int) -> Any:
        """The value so many steps above low, without the noise of adding floats."""
        assert self.step is not None
        value = self.low + index * self.step
        return value if self.kind == "int" else float(f"{value:.12g}")


def dimensions_of(parameter: str, distribution: Distribution) -> tuple[Dimension, ...]:
    """The dimensions of one parameter."""
    shared: dict[str, Any] = {"parameter": parameter, "when": distribution.when}
    if isinstance(distribution, Categorical):
        return (Dimension(name=parameter, kind="categorical", choices=distribution.choices, **shared),)
    if isinstance(distribution, Float | Int):
        shared |= {field: getattr(distribution, field) for field in ("low", "high", "log", "step")}
        return (Dimension(name=parameter, kind=distribution.type, **shared),)
    assert isinstance(distribution, Simplex)
    if distribution.parts is not None:
        points = tuple(lattice(len(distribution.over), distribution.parts))
        return (Dimension(name=f"{parameter}.simplex", kind="categorical", choices=points, **shared),)
    names = [f"{parameter}.simplex.{index}" for index in range(len(distribution.over) - 1)]
    return tuple(Dimension(name=name, kind="float", low=0.0, high=1.0, **shared) for name in names)
