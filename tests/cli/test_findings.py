"""What is wrong with a training, as it is shown: once, in one line, and nothing of the layers' metrics."""

import io
import threading
from typing import Any

from rich.console import Console

from trainyard.cli.lines import EpochLines, PlainLines
from trainyard.cli.live import SweepView
from trainyard.cli.progress import Progress
from trainyard.sweep.plan import Plan
from trainyard.tracking.events import Event, TrialEpoch, TrialFinding, TrialStarted

from .conftest import OBJECTIVES, sweep_started, trained

VANISHING = TrialFinding(trial=0, finding="vanishing", layer="0", reason="its gradient's norm\nis 1e-09")
METRICS = {"val/accuracy": 0.5, "train/loss": 2.3, "gradients/0/norm": 1e-9, "gradients/0/update": 1e-6}


def lines_of(kind: Any, events: list[Event], **options: Any) -> list[str]:
    stream = io.StringIO()
    with kind(Progress("sweep", OBJECTIVES), stream, **options) as lines:
        for event in events:
            lines.take(event)
    return stream.getvalue().splitlines()


def test_a_training_has_a_line_for_it() -> None:
    events: list[Event] = [TrialStarted(trial=0, time=0.0), TrialEpoch(trial=0, epoch=1, metrics=METRICS, time=1.0)]
    assert lines_of(EpochLines, [sweep_started(), *events, VANISHING], epochs=1)[1:] == [
        "epoch 1/1 val/accuracy=0.5000 (best) train/loss=2.3000",
        "vanishing in layer 0: its gradient's norm is 1e-09",
    ]


def test_a_sweep_in_a_pipe_has_a_line_for_it() -> None:
    *begun, ended = trained(0, [0.5])
    assert lines_of(PlainLines, [sweep_started(), *begun, VANISHING, ended])[0] == (
        "trial 0 vanishing in layer 0: its gradient's norm is 1e-09"
    )


def test_the_live_table_shows_the_latest_in_one_line(plan: Plan) -> None:
    progress = Progress("sweep", OBJECTIVES)
    progress.plan = plan
    dead = TrialFinding(trial=1, finding="dead", layer="3", reason="its gradient is exactly zero")
    for event in [sweep_started(), *trained(0, [0.5])[:-1], VANISHING, *trained(1, [0.5])[:-1], dead]:
        progress.take(event)
    console = Console(file=io.StringIO(), width=40, height=24, color_system=None)
    with console.capture() as capture:
        console.print(SweepView(progress, threading.Lock(), lambda: 10.0))
    lines = capture.get().splitlines()
    assert lines[3].rstrip() == "trial 1 dead in layer 3: its gradient i…"
    assert "gradients/" not in capture.get()
