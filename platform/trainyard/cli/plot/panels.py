"""The panels of a picture: a metric each, with a line for each trial."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainyard.cli.plot.looks import Look, Looks
from trainyard.cli.plot.scale import logarithmic
from trainyard.tracking.curves import SweepCurves, TrialCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS_ON_A_LINE = 12
CROSS = "#555555"


def draw_panels(panels: "Mapping[str, Axes]", curves: SweepCurves, looks: Looks) -> None:
    """One by metric. Those of one measure on two splits (train/loss and val/loss) have the same y axis."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    first: dict[str, Axes] = {}
    values: dict[str, list[float]] = {}
    for metric, axes in panels.items():
        measure = metric.partition("/")[2] or metric
        if measure in first:
            axes.sharey(first[measure])
        first.setdefault(measure, axes)
        for trial in reversed(looks.drawn):  # the best comes last, on top of the others
            points = trial.curves[metric].finite if metric in trial.curves else []
            if points:
                _draw_line(axes, metric, trial, looks.by_trial[trial.row.trial])
                values.setdefault(measure, []).extend(value for _, value in points)
        if logarithmic(metric, curves.objectives, values.get(measure, [])):
            axes.set_yscale("log")
        axes.set_xlabel("epoch" if curves.axis == "epoch" else "training step")
        axes.set_ylabel(plain(metric))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def ended_badly(trial: TrialCurves) -> bool:
    return trial.row.state in ("failed", "diverged")


def plain(text: str) -> str:
    """Text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")


def _draw_line(axes: "Axes", metric: str, trial: TrialCurves, look: Look) -> None:
    """A line with gaps where there is no finite number; a cross where a trial that failed or diverged was last seen."""
    curve = trial.curves[metric]
    points = curve.finite
    axes.plot(
        curve.x,
        [value if math.isfinite(value) else math.nan for value in curve.y],
        color=look.colour,
        linewidth=look.width,
        linestyle=look.dashes,
        # One point makes no line.
        marker=look.marker or ("." if len(points) == 1 else ""),
        markersize=4,
        markevery=max(1, math.ceil(len(curve.x) / MARKERS_ON_A_LINE)),
        label=f"trial {trial.row.trial}",
        zorder=3 if look.marker else 2,
    )
    if ended_badly(trial):
        axes.plot(*points[-1], color=CROSS, marker="x", markersize=7, zorder=4)
