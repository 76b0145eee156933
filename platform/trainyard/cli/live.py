"""A sweep on a terminal: what runs, what is best, how long it will take; drawn by a thread of rich's."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trainyard.cli.printing import GAP, brief, duration, fitting, not_shown, number, short_names
from trainyard.cli.progress import Progress, TrialView
from trainyard.sweep.plan import Plan
from trainyard.tracking.events import Event

REDRAWS_PER_SECOND = 4
BAR = 8
BEST_SHOWN = 5
WIDE = 100
"""Terminals below this many columns do without the bars of the trials: their room is for values."""
STYLES = {"running": "cyan", "finished": "green", "pruned": "yellow", "failed": "red", "diverged": "red"}


class LiveTable:
    """Draws a sweep while it runs. `take` is called in the driver's loop: it notes the event and returns."""

    def __init__(self, progress: Progress, console: Console, *, clock: Callable[[], float] = time.time) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._view = SweepView(progress, self._lock, clock)
        self._live = Live(self._view, console=console, refresh_per_second=REDRAWS_PER_SECOND)

    def plan(self, plan: Plan) -> None:
        with self._lock:
            self._progress.plan = plan

    def take(self, event: Event) -> None:
        with self._lock:
            self._progress.take(event)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._view.final = True
        # Nothing has begun: an error says why, and needs no picture of it.
        self._live.transient = self._progress.began is None
        self._live.__exit__(kind, error, trace)


class SweepView:
    """The picture of a sweep at this moment, for any width and height. final: the header alone, with the end state."""

    def __init__(self, progress: Progress, lock: threading.Lock, clock: Callable[[], float]) -> None:
        self._progress = progress
        self._lock = lock
        self._clock = clock
        self.final = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            parts = list(self._parts(options.max_width, console.height, self._clock()))
        yield from parts

    def _parts(self, width: int, height: int, now: float) -> Iterator[RenderableType]:
        header = list(_header(self._progress, width, now))
        yield from header
        if self.final:
            return
        # Below: an empty line, the headings, a line of what has no room, and the cursor's.
        rows = shown_trials(self._progress, max(1, height - len(header) - 4))
        if rows:
            yield Text()
            yield from _trials(self._progress, rows, width, now)


def shown_trials(progress: Progress, room: int) -> list[list[TrialView]]:
    """The running trials, the best that have ended, and the last that have: as many as there is room for."""
    kept = min(3, len(progress.best)) + 1 if progress.best and room > 6 else 0
    running = list(progress.running.values())[: room - kept]
    room -= len(running) + 1  # an empty line parts the groups
    best = progress.best[: min(BEST_SHOWN, max(0, room))]
    room -= len(best) + 1
    recent = [trial for trial in progress.recent if all(trial is not other for other in best)]
    return [group for group in (running, best, recent[: max(0, room)]) if group]


def _header(progress: Progress, width: int, now: float) -> Iterator[RenderableType]:
    metric, mode = progress.objectives[0]
    yield _line((progress.name, "bold"), (f"  {metric} ({mode})", "dim"))
    yield _progress_line(progress, width, now)
    yield _best_line(progress)
    if progress.trouble is not None:
        trial = progress.trouble
        yield _line((f"trial {trial.number} {trial.state}: {' '.join(trial.reason.split())}", "red"))
    if progress.finding is not None:
        yield _line((f"trial {progress.finding.trial} {progress.finding}", "yellow"))


def _progress_line(progress: Progress, width: int, now: float) -> RenderableType:
    count = f"{progress.done}/{progress.total} trials"
    spent = _spent(progress, now)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row(
        Text(count),
        ProgressBar(total=max(1, progress.total), completed=progress.done, width=max(10, min(40, width - 50))),
        Text(spent, no_wrap=True, overflow="ellipsis"),
    )
    return grid


def _spent(progress: Progress, now: float) -> str:
    if progress.began is None:
        return "starting"
    spent = duration((progress.ended or now) - progress.began)
    if progress.ended is not None:
        return f"{progress.state}, {spent}"
    if progress.ends_at is None:
        return f"{spent}, starting slots" if not progress.leader else spent
    return f"{spent}, about {duration(progress.ends_at - now)} left"


def _best_line(progress: Progress) -> Text:
    leader, best = progress.leader, "no value yet"
    if leader is not None:
        best = f"best {number(leader.best)}, trial {leader.number} at epoch {leader.best_epoch}"
    states = [(f", {count} {state}", STYLES[state]) for state, count in sorted(progress.counts.items())]
    running = [(f", {len(progress.running)} running", STYLES["running"])] if progress.running else []
    return _line((best, "bold" if leader else "dim"), *running, *states)


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _trials(progress: Progress, groups: Sequence[Sequence[TrialView]], width: int, now: float) -> list[RenderableType]:
    """The table of trials, and a line that names the values for which it has no room."""
    trials = [trial for group in groups for trial in group]
    fixed = {heading: [_cell(trial, heading, progress, now) for trial in trials] for heading in _HEADINGS}
    widths = {heading: max(len(heading), *map(len, column)) for heading, column in fixed.items()}
    bars = width >= WIDE
    paths = list(progress.paths)
    names = short_names(paths)
    values = {path: [_value(trial, path) for trial in trials] for path in paths}
    room = width - sum(widths.values()) - GAP * (len(widths) - 1) - (BAR + GAP) * bars
    shown = paths[: fitting([max(len(names[path]), *map(len, values[path])) for path in paths], room)]
    table = _empty_table(widths, [names[path] for path in shown], bars=bars)
    ends = {group[-1].number for group in groups[:-1]}
    for index, trial in enumerate(trials):
        row: list[RenderableType] = [Text(fixed[heading][index]) for heading in _HEADINGS]
        row[1] = Text(trial.state, style=STYLES.get(trial.state, ""))
        if bars:
            row.insert(3, ProgressBar(total=_epochs(progress), completed=trial.epochs, width=BAR))
        table.add_row(*row, *(values[path][index] for path in shown))
        if trial.number in ends:
            table.add_row()
    return [table, *(_line((line, "dim")) for line in not_shown(paths[len(shown) :], names))]


def _empty_table(widths: Mapping[str, int], values: Sequence[str], *, bars: bool) -> Table:
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    for heading, width in widths.items():
        table.add_column(heading, justify="left" if heading == "state" else "right", no_wrap=True, min_width=width)
        if heading == "epoch" and bars:
            table.add_column("", no_wrap=True, min_width=BAR)
    for name in values:
        table.add_column(name, justify="right", no_wrap=True)
    return table


_HEADINGS = ("trial", "state", "epoch", "now", "best", "time")


def _cell(trial: TrialView, heading: str, progress: Progress, now: float) -> str:
    match heading:
        case "trial":
            return str(trial.number)
        case "state":
            return trial.state
        case "epoch":
            return f"{trial.epochs}/{_epochs(progress)}"
        case "now":
            return number(trial.now)
        case "best":
            return number(trial.best)
    return duration(trial.seconds(now))


def _epochs(progress: Progress) -> int:
    return progress.plan.epochs_per_trial if progress.plan else 1


def _value(trial: TrialView, path: str) -> str:
    return brief(trial.values[path]) if path in trial.values else "-"
