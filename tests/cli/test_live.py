"""The live table, drawn into a text of fixed width."""

import io
import re
import threading

import pytest
from rich.console import Console

from trainyard.cli.live import LiveTable, SweepView, shown_trials
from trainyard.cli.progress import Progress
from trainyard.sweep.plan import Plan
from trainyard.tracking.events import Event, TrialStarted

from .conftest import OBJECTIVES, sweep_started, trained


def drawn(
    progress: Progress, width: int = 80, height: int = 24, *, now: float = 10.0, final: bool = False
) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    view = SweepView(progress, threading.Lock(), lambda: now)
    view.final = final
    with console.capture() as capture:
        console.print(view)
    return [line.rstrip() for line in capture.get().splitlines()]


def progress_of(events: list[Event], plan: Plan | None) -> Progress:
    progress = Progress("sweep", OBJECTIVES)
    progress.plan = plan
    for event in events:
        progress.take(event)
    return progress


def test_before_anything_has_begun() -> None:
    assert drawn(progress_of([], None)) == [
        "sweep  val/accuracy (max)",
        "0/0 trials                                  starting",
        "no value yet",
    ]


def test_while_it_runs(plan: Plan) -> None:
    ended = [*trained(0, [0.5, 0.9]), *trained(1, [0.25], "pruned", start=2)]
    running = trained(2, [0.5, 0.75, 0.625], start=3)[:-1]
    progress = progress_of([sweep_started(), *ended, *running], plan)

    assert drawn(progress) == [
        "sweep  val/accuracy (max)",
        "2/4 trials  ━━━━━━━━━━━━━━━                 0:10, about 0:00 left",
        "best 0.9000, trial 0 at epoch 2, 1 running, 1 finished, 1 pruned",
        "",
        "trial  state     epoch     now    best  time     lr  dropout",
        "    2  running     3/8  0.6250  0.7500  0:07  0.001     0.25",
        "",
        "    0  finished    2/8  0.9000  0.9000  0:02    0.1        0",
        "    1  pruned      1/8  0.2500  0.2500  0:01   0.01    0.125",
    ]


def test_the_last_failure_is_told_in_one_line(events: list[Event], plan: Plan) -> None:
    lines = drawn(progress_of(events[:11], plan), width=60)

    assert lines[3] == "trial 2 failed: ValueError: no layer called head (nets.py:4…"
    assert lines[4] == ""


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int, many_values: list[Event], plan: Plan) -> None:
    lines = drawn(progress_of(many_values, plan), width)

    assert max(map(len, lines)) <= width
    assert sum("running" in line for line in lines[3:]) == 2


def test_values_without_room_are_named(many_values: list[Event], plan: Plan) -> None:
    lines = drawn(progress_of(many_values, plan), 80)

    assert lines[4].split()[6:] == ["lr", "dropout"]
    assert lines[-1].startswith("(no room for cross_entropy.weight, focal.weight, degrees, ")


def test_a_wide_terminal_has_bars_and_all_values(many_values: list[Event], plan: Plan) -> None:
    lines = drawn(progress_of(many_values, plan), 200)

    assert "━━━" in lines[5]
    assert "label_smoothing" in lines[4]
    assert "no room" not in lines[-1]


@pytest.mark.parametrize("height", [8, 12, 24])
def test_a_low_terminal_is_not_overflowed(height: int, plan: Plan) -> None:
    running: list[Event] = [TrialStarted(trial=trial, time=9.0) for trial in range(40, 60)]
    progress = progress_of([sweep_started(), *(e for t in range(30) for e in trained(t, [t / 100])), *running], plan)

    assert len(drawn(progress, height=height)) < height


def test_the_best_keep_their_place_beside_many_running_trials(plan: Plan) -> None:
    running: list[Event] = [TrialStarted(trial=trial, time=9.0) for trial in range(40, 60)]
    progress = progress_of([sweep_started(), *(e for t in range(30) for e in trained(t, [t / 100])), *running], plan)

    groups = shown_trials(progress, 15)

    assert [trial.number for trial in groups[1]] == [29, 28, 27]


def test_the_end_is_left_on_the_screen(events: list[Event], plan: Plan) -> None:
    lines = drawn(progress_of(events, plan), final=True)

    assert lines[1].endswith("finished, 1:01")
    assert lines[1].startswith("4/4 trials  ━━━")
    assert lines[2] == "best 0.9000, trial 0 at epoch 3, 1 diverged, 1 failed, 1 finished, 1 pruned"
    assert lines[3] == "trial 3 diverged: the loss is NaN in epoch 2"


def test_drawing_goes_on_beside_the_driver(events: list[Event], plan: Plan) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=24, _environ={})
    with LiveTable(Progress("sweep", OBJECTIVES), console, clock=lambda: 61.0) as live:
        live.plan(plan)
        for event in events:
            live.take(event)

    assert "4/4 trials" in stream.getvalue()


def test_nothing_is_left_of_what_never_began() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=24, _environ={})
    with pytest.raises(KeyError), LiveTable(Progress("sweep", OBJECTIVES), console):
        raise KeyError

    assert stream.getvalue().endswith("\x1b[1A\x1b[2K")  # up, and the line is cleared


def test_no_colours_with_no_color(events: list[Event], plan: Plan) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=24, _environ={"NO_COLOR": "1"})
    console.print(SweepView(progress_of(events, plan), threading.Lock(), lambda: 61.0))

    codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", stream.getvalue()) for code in found.split(";")}
    assert codes <= {"", "0", "1", "2"}  # bold and dim only
