"""The legend of a picture: a table of the trials that are named in it, each after its line and marker."""

from typing import TYPE_CHECKING

from trainyard.cli.plot.looks import Look, Looks
from trainyard.cli.plot.panels import CROSS, ended_badly
from trainyard.cli.printing import number, with_values
from trainyard.spec.hints import listing
from trainyard.tracking.curves import SweepCurves

if TYPE_CHECKING:
    from matplotlib.lines import Line2D


def legend_lines(curves: SweepCurves, looks: Looks, *, room: int) -> list[tuple["Line2D", str]]:
    """Its lines, each with what stands before it: the table, and what else there is to know.

    room: characters in a line.
    """
    from matplotlib.lines import Line2D

    nothing = Line2D([], [], linestyle="none")
    heading, *lines = _table(curves, looks, room)
    marks = [_mark(looks.by_trial[trial.row.trial]) for trial in looks.named]
    legend = [(nothing, heading), *zip(marks, lines, strict=False)]
    legend += [(nothing, line) for line in lines[len(marks) :]]
    if any(ended_badly(trial) for trial in looks.drawn):
        cross = Line2D([], [], color=CROSS, linestyle="none", marker="x", markersize=6)
        legend.append((cross, "failed or diverged after this"))
    missing = [trial.row.trial for trial in curves.trials if trial.row.trial not in looks.by_trial]
    if missing:
        names = listing(missing, last="and")
        legend.append((nothing, f"{'trial' if len(missing) == 1 else 'trials'} {names} without a value"))
    return legend


def _mark(look: Look) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], color=look.colour, linestyle=look.dashes, linewidth=look.width, marker=look.marker, markersize=4
    )


def _table(curves: SweepCurves, looks: Looks, room: int) -> list[str]:
    """A heading and a line for each trial, and one that names the values for which there was no room."""
    metrics = [metric for metric, _ in curves.objectives]
    stated = any(trial.row.state != "finished" for trial in looks.named)
    headings = ["trial", *(["state"] if stated else []), *metrics]
    cells = [
        [
            str(trial.row.trial),
            *([trial.row.state] if stated else []),
            *(number(trial.row.objectives.get(metric)) for metric in metrics),
        ]
        for trial in looks.named
    ]
    values = [trial.values for trial in looks.named]
    lines, missing = with_values(headings, cells, values, width=room, left=[1] if stated else [])
    return [*lines, *missing]
