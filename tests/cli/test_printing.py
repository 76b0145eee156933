"""Numbers, tables and leaderboards as text."""

import json
import math
from typing import Any

import pytest

from trainyard.cli.printing import as_json, as_overrides, brief, duration, failures, leaderboard, number, short_names
from trainyard.tracking.compare import Row

ONE = [("val/accuracy", "max")]


def row(trial: int, accuracy: float | None, **fields: Any) -> Row:
    values = {"optimizer.lr": 10.0**-trial, "model.channels": [8, 16], "optimizer.name": "adamw"}
    content: dict[str, Any] = {
        "run_id": "",
        "state": "finished",
        "reason": "",
        "objectives": {"val/accuracy": accuracy},
        "best_epoch": None if accuracy is None else 3,
        "epochs": 8,
        "seconds": 75.0,
        "values": values,
    }
    return Row(trial=trial, **{**content, **fields})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98765, "0.9877"),
        (12.5, "12.5000"),
        (0.0, "0.0000"),
        (0.00001234, "1.234e-05"),
        (1e6, "1.000e+06"),
        (None, "-"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_objective_values(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.00123456, "0.00123"), (64, "64"), ("adamw", "adamw"), ([8, 16], "[8, 16]"), (True, "true")]
)
def test_sampled_values(value: Any, text: str) -> None:
    assert brief(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (75, "1:15"), (3725, "1:02:05"), (None, "-")])
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_short_names_tell_paths_apart() -> None:
    paths = [
        "optimizer.lr",
        "loss.focal.weight",
        "loss.cross_entropy.weight",
        "schedule.name",
        "a.rotate.x",
        "b.rotate.x",
    ]

    assert list(short_names(paths).values()) == [
        "lr",
        "focal.weight",
        "cross_entropy.weight",
        "schedule.name",
        "a.rotate.x",
        "b.rotate.x",
    ]


def test_json_has_null_for_nan() -> None:
    assert json.loads(as_json({"a": [math.nan, 1.5], "b": {"c": math.inf}})) == {"a": [None, 1.5], "b": {"c": None}}


def test_leaderboard() -> None:
    rows = [row(3, 0.98), row(12, 0.5, state="pruned", epochs=2), row(1, None, state="failed", seconds=None, values={})]

    assert leaderboard(rows, ONE) == [
        "trial  state     val/accuracy  at epoch  epochs  time     lr  channels  optimizer.name",
        "    3  finished        0.9800         3       8  1:15  0.001   [8, 16]           adamw",
        "   12  pruned          0.5000         3       2  1:15  1e-12   [8, 16]           adamw",
        "    1  failed               -         -       8     -      -         -               -",
    ]


def test_values_without_room_are_named_below() -> None:
    lines = leaderboard([row(3, 0.98)], ONE, width=70)

    assert lines == [
        "trial  state     val/accuracy  at epoch  epochs  time     lr  channels",
        "    3  finished        0.9800         3       8  1:15  0.001   [8, 16]",
        "(no room for optimizer.name)",
    ]
    assert max(map(len, lines)) == 70


def test_the_front_is_marked_where_there_are_several_objectives() -> None:
    objectives = [("val/accuracy", "max"), ("val/loss", "min")]
    rows = [
        row(0, None, objectives={"val/accuracy": 0.9, "val/loss": 0.1}, pareto=True, values={}),
        row(1, None, objectives={"val/accuracy": 0.8, "val/loss": 0.2}, pareto=False, values={}),
    ]

    lines = leaderboard(rows, objectives)

    assert lines[0] == "trial  state     val/accuracy  val/loss  at epoch  epochs  time  front"
    assert [line.endswith("*") for line in lines[1:]] == [True, False]


def test_reasons_of_failures_are_listed_up_to_five() -> None:
    rows = [row(trial, None, state="failed", reason="no memory") for trial in range(7)]

    lines = failures([row(9, 0.9), *rows])

    assert lines[0] == "trial 0 failed: no memory"
    assert lines[5:] == ["and 2 more that failed or diverged"]


def test_overrides_are_read_back_by_a_shell() -> None:
    assert as_overrides({"optimizer.lr": 0.0012345678901234, "model.channels": [8, 16]}) == [
        "optimizer.lr=0.0012345678901234",
        "'model.channels=[8, 16]'",
    ]
