"""A sweep in a pipe."""

import io
import json
import math
import os
import threading
from dataclasses import replace
from typing import Any

from trainyard.cli.lines import EpochLines, JsonLines, LineWriter, PlainLines
from trainyard.cli.progress import Progress
from trainyard.data.loading import DataPlan, SplitLoading
from trainyard.sweep.plan import Plan
from trainyard.tracking.events import Event, SweepEnded, TrialEpoch, TrialStarted

from .conftest import OBJECTIVES, sweep_started, trained


def lines_of(kind: Any, events: list[Event], plan: Plan | None, **options: Any) -> list[str]:
    stream = io.StringIO()
    with kind(Progress("sweep", OBJECTIVES), stream, **options) as lines:
        if plan is not None:
            lines.plan(plan)
        for event in events:
            lines.take(event)
    return stream.getvalue().splitlines()


def test_one_line_for_the_start_for_each_trial_and_for_the_end(events: list[Event], plan: Plan) -> None:
    assert lines_of(PlainLines, events, plan) == [
        "sweep sweep: 4 trials, 2 at a time, at most 8 epochs each",
        "trial 0 finished val/accuracy=0.9000 at epoch 3 of 3 (1/4, best 0.9000 trial 0)",
        "trial 1 pruned val/accuracy=0.2500 at epoch 1 of 1 (2/4, best 0.9000 trial 0)",
        "trial 2 failed because ValueError: no layer called head (nets.py:41) (3/4, best 0.9000 trial 0)",
        "trial 3 diverged val/accuracy=0.5000 at epoch 1 of 1 because the loss is NaN in epoch 2 "
        "(4/4, best 0.9000 trial 0)",
        "sweep sweep finished: 4 trials ended (1 diverged, 1 failed, 1 finished, 1 pruned), in 1:01",
    ]


def test_the_start_says_where_the_data_is(plan: Plan) -> None:
    splits = (
        SplitLoading(split="train", rows=50_000, nbytes=20 << 30, loading="streamed"),
        SplitLoading(split="val", rows=270, nbytes=19_440, loading="cached"),
    )
    data = DataPlan(splits=splits, room=4 << 30, stream_bytes=1 << 28)
    assert lines_of(PlainLines, [], replace(plan, data=data)) == [
        "sweep sweep: 4 trials, 2 at a time, at most 8 epochs each; train streamed (50,000 rows, 20.0 GiB), "
        "val cached (270 rows, 19 KiB); a node has room for 4.0 GiB"
    ]


def test_a_resumed_sweep_says_what_is_done(plan: Plan) -> None:
    stream = io.StringIO()
    progress = Progress("sweep", OBJECTIVES)
    for event in [sweep_started(), *trained(0, [0.5])]:
        progress.take(event)
    with PlainLines(progress, stream) as lines:
        lines.plan(plan)

    assert stream.getvalue() == "sweep sweep: 4 trials, 1 of them done, 2 at a time, at most 8 epochs each\n"


def test_a_cluster_that_changes_is_told_in_few_words(plan: Plan) -> None:
    stream = io.StringIO()
    with PlainLines(Progress("sweep", OBJECTIVES), stream) as lines:
        lines.plan(plan)
        lines.plan(replace(plan, slots=5, cluster_cpus=5.0, cluster_gpus=0.0))

        lines.plan(replace(plan, slots=1, cluster_cpus=0, room=False))
    assert stream.getvalue().splitlines()[1:] == [
        "sweep sweep: now 5 at a time, as the cluster has 5 CPUs",
        "sweep sweep: waits for nodes with room for a trial, as the cluster has 0 CPUs",
    ]


def test_json_lines_are_the_plan_and_the_events(events: list[Event], plan: Plan) -> None:
    lines = [json.loads(line) for line in lines_of(JsonLines, events, plan)]

    assert [line["event"] for line in lines[:4]] == ["plan", "sweep_started", "trial_started", "trial_epoch"]
    assert lines[0]["trials"] == 4
    assert (lines[5]["epoch"], lines[5]["metrics"]) == (3, {"val/accuracy": 0.9})
    assert lines[6] == {
        "event": "trial_ended",
        "trial": 0,
        "state": "finished",
        "reason": "",
        "best": [{"metric": "val/accuracy", "value": 0.9, "epoch": 1}],
        "time": 3.0,
    }


def test_nan_is_null_in_json() -> None:
    event = TrialEpoch(trial=0, epoch=1, metrics={"val/accuracy": math.nan}, time=1.0)

    (_, line) = lines_of(JsonLines, [TrialStarted(trial=0), event], None)

    assert json.loads(line)["metrics"] == {"val/accuracy": None}


def test_a_training_has_a_line_for_each_epoch() -> None:
    events: list[Event] = [TrialStarted(trial=0, time=0.0)]
    for epoch, accuracy in enumerate([0.5, 0.7, 0.6], 1):
        metrics = {"train/loss": 1 / epoch, "val/accuracy": accuracy, "seconds/train": 1.0}
        events.append(TrialEpoch(trial=0, epoch=epoch, metrics=metrics, time=2.0 * epoch))

    assert lines_of(EpochLines, [sweep_started(), *events], None, epochs=3) == [
        "training sweep: at most 3 epochs",
        "epoch 1/3 val/accuracy=0.5000 (best) train/loss=1.0000 (about 0:04 left)",
        "epoch 2/3 val/accuracy=0.7000 (best) train/loss=0.5000 (about 0:02 left)",
        "epoch 3/3 val/accuracy=0.6000 train/loss=0.3333",
    ]


def test_a_reader_that_is_slow_does_not_hold_up_the_sweep() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as stream:
        writer = LineWriter(stream)
        for index in range(20_000):  # more than a pipe holds
            writer.send(f"line {index}")
        received: list[str] = []
        thread = threading.Thread(target=lambda: received.extend(reader.readline() for _ in range(20_000)))
        thread.start()
        writer.close()
        thread.join()

    assert received[-1] == "line 19999\n"


def test_a_reader_that_has_gone_does_not_end_the_sweep(plan: Plan) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", buffering=1)
    with PlainLines(Progress("sweep", OBJECTIVES), stream) as lines:
        lines.plan(plan)
        lines.take(sweep_started())
        lines.take(SweepEnded(state="finished"))
