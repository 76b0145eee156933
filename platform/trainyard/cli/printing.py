"""How numbers, tables and leaderboards look as text: the same on a terminal and in a pipe, but for the width."""

import json
import math
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from trainyard.spec.scalars import write
from trainyard.tracking.compare import Row

GAP = 2
"""Blanks between two columns."""
_HEADING = 20
"""Longest name of a column."""
_FAILURES_SHOWN = 5
_VAGUE = {"amount", "fraction", "high", "low", "name", "p", "std", "weight"}
"""Last parts of paths that say nothing alone."""


def number(value: float | None) -> str:
    """An objective's value: four decimals, or an exponent where they would show little."""
    if value is None:
        return "-"
    if value == 0 or not math.isfinite(value) or 0.001 <= abs(value) < 10_000:
        return f"{value:.4f}"
    return f"{value:.3e}"


def brief(value: Any) -> str:
    """A setting for a table: three digits of a float, all of anything else."""
    return f"{value:.3g}" if isinstance(value, float) else write(value)


def duration(seconds: float | None) -> str:
    """`0:07`, `2:14`, `1:02:14`."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`, `3 classes`."""
    return f"{count} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON that every reader takes: NaN and infinities, for which it has no word, are null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """A short heading for each path: its last part, or as many as tell it from the others."""
    names = {path: _tail(path, 2 if path.rpartition(".")[2] in _VAGUE else 1) for path in paths}
    for path in paths:
        parts = 1
        while [_tail(other, parts) for other in paths].count(names[path]) > 1 and parts < path.count(".") + 1:
            parts += 1
            names[path] = _tail(path, parts)
    return {path: name if len(name) <= _HEADING else f"{name[: _HEADING - 1]}~" for path, name in names.items()}


def _tail(path: str, parts: int) -> str:
    return ".".join(path.split(".")[-parts:])


def fitting(widths: Sequence[int], available: int) -> int:
    """How many columns of these widths, each with a gap before it, fit; the first ones first."""
    ends = accumulate(width + GAP for width in widths)
    return sum(end <= available for end in ends)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = ()) -> list[str]:
    """Lines of a table, numbers to the right. left: the columns that are text."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    blank = " " * GAP
    return [
        blank.join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def terminal_width() -> int | None:
    """Columns of the terminal; None where standard output is none, and lines may be as long as they like."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def leaderboard(
    rows: Sequence[Row], objectives: Sequence[tuple[str, str]], *, limit: int | None = None, width: int | None = None
) -> list[str]:
    """The best trials as a table; values that don't fit in `width` are named below it."""
    rows = rows[:limit]
    metrics = [metric for metric, _ in objectives]
    front = len(objectives) > 1
    headings = ["trial", "state", *metrics, "at epoch", "epochs", "time", *(["front"] if front else [])]
    cells = [
        [
            str(row.trial),
            row.state,
            *(number(row.objectives.get(metric)) for metric in metrics),
            str(row.best_epoch or "-"),
            str(row.epochs),
            duration(row.seconds),
            *(["*" if row.pareto else ""] if front else []),
        ]
        for row in rows
    ]
    lines, missing = with_values(headings, cells, [row.values for row in rows], width=width, left=[1])
    return [*lines, *(part for line in missing for part in textwrap.wrap(line, width or 1000))]


def with_values(
    headings: Sequence[str],
    cells: Sequence[Sequence[str]],
    values: Sequence[Mapping[str, Any]],
    *,
    width: int | None = None,
    left: Sequence[int] = (),
) -> tuple[list[str], list[str]]:
    """Lines of a table that has a column for each path of the values, as many as fit; a line that names the others."""
    paths = list(dict.fromkeys(path for row in values for path in row))
    names = short_names(paths)
    columns = {path: [brief(row[path]) if path in row else "-" for row in values] for path in paths}
    taken = max(map(len, table(headings, cells)))
    widths = [max(len(names[path]), *map(len, columns[path])) for path in paths]
    shown = paths[: len(paths) if width is None else fitting(widths, width - taken)]
    lines = table(
        [*headings, *(names[path] for path in shown)],
        [[*line, *(columns[path][index] for path in shown)] for index, line in enumerate(cells)],
        left=left,
    )
    return lines, not_shown(paths[len(shown) :], names)


def not_shown(paths: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """A line naming the columns for which there was no room."""
    return [f"(no room for {', '.join(names[path] for path in paths)})"] if paths else []


def failures(rows: Sequence[Row]) -> list[str]:
    """Why trials failed or diverged: a line for each of the first ones."""
    found = [row for row in rows if row.state in ("failed", "diverged")]
    lines = [f"trial {row.trial} {row.state}: {row.reason}" for row in found[:_FAILURES_SHOWN]]
    more = len(found) - _FAILURES_SHOWN
    return [*lines, f"and {more} more that failed or diverged"] if more > 0 else lines


def as_overrides(values: Mapping[str, Any]) -> list[str]:
    """Values as `path=value` that a shell and trainyard read back as they are."""
    return [shlex.quote(f"{path}={write(value)}") for path, value in values.items()]
