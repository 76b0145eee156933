"""How the trials of a picture are told apart.

Up to ten have a colour (of Okabe and Ito 2008: colour-blind readers tell them apart, too) and a marker of their own. Of
more the best five have, and the others are thin grey lines, the darker the better their objective.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from trainyard.cli.plot.scale import logarithmic
from trainyard.tracking.curves import SweepCurves, TrialCurves

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable

TOLD_APART = 10
NAMED = 5

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, but for yellow, which is faint on white."""
MARKERS = "osD^vP<>h*"
SHADES = ("#D5D5D5", "#3C3C3C")
"""From the worst to the best of those that are not named: greys, so that none is taken for one of the colours."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a trial's lines are drawn."""

    colour: Any
    marker: str = ""
    dashes: Literal["-", "--", ":"] = "-"
    width: float = 0.8


@dataclass(frozen=True, kw_only=True)
class Shades:
    """The colours of the trials that are not named, by their first objective.

    beyond: at which end there are values that are as pale as the worst.
    """

    metric: str
    colours: "ScalarMappable"
    beyond: Literal["min", "max"]

    @classmethod
    def of(cls, drawn: Sequence[TrialCurves], objectives: Sequence[tuple[str, str]]) -> Self | None:
        """None where no trial has an objective.

        The worst fifth is as pale as the next one is: a trial that learned nothing would make all others dark.
        """
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

        values = sorted(value for trial in drawn if (value := _objective(trial, objectives)) is not None)
        if not values:
            return None
        metric, mode = objectives[0]
        cut = len(values) // 5
        low, high = (values[cut], values[-1]) if mode == "max" else (values[0], values[-1 - cut])
        norm = (LogNorm if logarithmic(metric, objectives, [low, high]) else Normalize)(low, high)
        ends = SHADES if mode == "max" else SHADES[::-1]
        colours = ScalarMappable(norm, LinearSegmentedColormap.from_list("shades", list(ends)))
        return cls(metric=metric, colours=colours, beyond="min" if mode == "max" else "max")


@dataclass(frozen=True, kw_only=True)
class Looks:
    """The trials that have something to draw, the best first; those of them that are named; all looks by trial.

    shades: where not all are named.
    """

    drawn: Sequence[TrialCurves]
    named: Sequence[TrialCurves]
    by_trial: Mapping[int, Look]
    shades: Shades | None

    @classmethod
    def of(cls, curves: SweepCurves) -> Self:
        drawn = [trial for trial in curves.trials if any(curve.finite for curve in trial.curves.values())]
        named = drawn if len(drawn) <= TOLD_APART else drawn[:NAMED]
        others = drawn[len(named) :]
        shades = Shades.of(drawn, curves.objectives) if others else None
        looks = {trial.row.trial: _grey(_objective(trial, curves.objectives), shades) for trial in others}
        looks |= {trial.row.trial: _own(place) for place, trial in enumerate(named)}
        return cls(drawn=drawn, named=named, by_trial=looks, shades=shades)


def _own(place: int) -> Look:
    colour = COLOURS[place % len(COLOURS)]
    return Look(colour=colour, marker=MARKERS[place], dashes="-" if place < len(COLOURS) else "--", width=1.5)


def _grey(objective: float | None, shades: Shades | None) -> Look:
    if shades is None or objective is None:
        return Look(colour=SHADES[0], dashes=":")
    return Look(colour=tuple(shades.colours.to_rgba(np.array([objective]))[0]))


def _objective(trial: TrialCurves, objectives: Sequence[tuple[str, str]]) -> float | None:
    """The first objective, if it is a finite number."""
    value = trial.row.objectives.get(objectives[0][0]) if objectives else None
    return value if value is not None and math.isfinite(value) else None
