"""The picture as a whole, and as a file."""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainyard.cli.plot.legend import legend_lines
from trainyard.cli.plot.looks import Looks
from trainyard.cli.plot.panels import draw_panels, plain
from trainyard.cli.printing import counted
from trainyard.errors import UsageError
from trainyard.spec.hints import listing
from trainyard.tracking.curves import SweepCurves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
PANELS_ACROSS = 3

_TEXT = 7.5
"""Size of the legend's letters in points; what follows is in inches."""
_CHARACTER = 0.602 * _TEXT / 72
"""Width of a letter of DejaVu Sans Mono."""
_LINE = 0.16
_ALONE = (7.5, 3.8)
_PANEL = (4.2, 3.0)
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "trainyard",
}


def check_plot_file(file: Path) -> None:
    """UsageError for a file with another suffix than `SUFFIXES`."""
    if file.suffix.lower() not in SUFFIXES:
        got = file.suffix or "none"
        raise UsageError(f"can't draw {file}: its suffix must be {listing(SUFFIXES)}, got {got}.")


def write_plot(curves: SweepCurves, file: Path) -> None:
    """Draw the curves to a file of one of `SUFFIXES`; the same curves give the same bytes.

    UsageError where it can't be written.
    """
    content = io.BytesIO()
    suffix = file.suffix.lower().lstrip(".")
    with _style():
        draw(curves).savefig(content, format=suffix, dpi=160, metadata={"Date": None} if suffix == "svg" else None)
    try:
        file.write_bytes(content.getvalue())
    except OSError as error:
        raise UsageError(f"can't write {file}: {error.strerror}. Name another file: --plot FILE.png") from error


def draw(curves: SweepCurves) -> "Figure":
    """The picture: a panel for each metric, and in each a line for each trial that has values, labelled `trial N`.

    Needs no display, and leaves alone what matplotlib keeps for the whole process.
    """
    from matplotlib.figure import Figure

    down = math.ceil(len(curves.metrics) / PANELS_ACROSS)
    across = math.ceil(len(curves.metrics) / down)
    panel_width, panel_height = _ALONE if across == 1 else _PANEL
    width = panel_width * across
    with _style():
        looks = Looks.of(curves)
        legend = legend_lines(curves, looks, room=int(width / _CHARACTER) - 8)
        figure = Figure(figsize=(width, panel_height * down + _LINE * (len(legend) + 2)), layout="constrained")
        grid = list(figure.subplots(down, across, squeeze=False).flat)
        panels = dict(zip(curves.metrics, grid, strict=False))
        for spare in grid[len(panels) :]:
            spare.remove()
        draw_panels(panels, curves, looks)
        if looks.shades is not None:
            shades = looks.shades
            bar = figure.colorbar(
                shades.colours, ax=list(panels.values()), extend=shades.beyond, fraction=0.04, pad=0.02
            )
            bar.set_label(plain(f"{shades.metric} of the trial"))
        figure.suptitle(plain(_title(curves)), x=0.01, ha="left", fontsize=10)
        figure.legend(
            [mark for mark, _ in legend],
            [plain(text) for _, text in legend],
            loc="outside lower left",
            prop={"family": "DejaVu Sans Mono", "size": _TEXT},
        )
    return figure


@contextmanager
def _style() -> Iterator[None]:
    """Our style over matplotlib's own, whatever the user's `matplotlibrc` says."""
    from matplotlib import style

    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # A value with characters that the font lacks is drawn with boxes in their places, which says it all.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _title(curves: SweepCurves) -> str:
    """`digits-1: 16 trials`, `digits-1 running: the best 5 of 16 trials`."""
    state = "" if curves.state == "finished" else f" {curves.state}"
    trials = counted(curves.of, "trial")
    count = trials if curves.of == len(curves.trials) else f"the best {len(curves.trials)} of {trials}"
    return f"{curves.sweep}{state}: {count}"
