import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainyard.errors import UsageError
from trainyard.tracking.compare import Row, pareto_front, ranked, read_sweep, sweep_exists, sweep_names
from trainyard.tracking.events import Best, SweepEnded, SweepStarted, TrialEnded, TrialEpoch, TrialStarted

ONE = (("acc", "max"),)
TWO = (("acc", "max"), ("loss", "min"))


def row(trial: int, **objectives: float | None) -> Row:
    return Row(
        trial=trial,
        run_id=f"run{trial}",
        state="finished",
        reason="",
        objectives=objectives,
        best_epoch=1,
        epochs=1,
        seconds=1.0,
        values={},
    )


def order(rows: list[Row], objectives: tuple[tuple[str, str], ...]) -> list[int]:
    return [item.trial for item in ranked(rows, objectives)]


def test_the_best_comes_first() -> None:
    assert order([row(0, acc=0.1), row(1, acc=0.9), row(2, acc=0.5)], ONE) == [1, 2, 0]
    assert order([row(0, loss=0.1), row(1, loss=0.9), row(2, loss=0.5)], (("loss", "min"),)) == [0, 2, 1]


def test_ties_go_by_trial_and_what_is_no_number_comes_last() -> None:
    rows = [
        row(0, acc=math.nan),
        row(1, acc=0.5),
        row(2, acc=None),
        row(3, acc=0.5),
        row(4, acc=math.inf),
        row(5, acc=-9.0),
    ]
    assert order(rows, ONE) == [1, 3, 5, 0, 2, 4]


def test_without_objectives_trials_are_in_order() -> None:
    assert order([row(1), row(0)], ()) == [0, 1]


def test_the_pareto_front_comes_first() -> None:
    rows = [
        row(0, acc=0.9, loss=0.9),
        row(1, acc=0.8, loss=0.95),
        row(2, acc=0.5, loss=0.1),
        row(3, acc=0.5, loss=None),
    ]
    table = ranked(rows, TWO)
    assert [(item.trial, item.pareto) for item in table] == [(0, True), (2, True), (1, False), (3, False)]


def test_the_best_by_the_first_objective_is_on_the_front_whatever_it_lacks() -> None:
    """Of trials that miss the target only the most accurate is; of one without an accuracy nothing is known."""
    objectives = (("acc", "max"), ("steps", "min"))
    rows = [row(0, acc=0.8, steps=100.0), row(1, acc=0.9), row(2, acc=0.7), row(3, acc=None, steps=50.0)]
    table = ranked(rows, objectives)
    assert [(item.trial, item.pareto) for item in table] == [(1, True), (0, True), (2, False), (3, False)]


def test_equal_points_are_both_on_the_front() -> None:
    assert pareto_front([(1.0, 2.0), (1.0, 2.0), (2.0, 2.0), (0.5, 3.0)]) == [True, True, False, True]


def test_the_front_of_random_points_is_the_one_by_definition() -> None:
    import numpy as np

    points = [tuple(point) for point in np.random.default_rng(0).integers(0, 8, size=(200, 3)).astype(float)]
    by_definition = [
        not any(all(a <= b for a, b in zip(other, point, strict=True)) and other != point for other in points)
        for point in points
    ]
    assert pareto_front(points) == by_definition


@pytest.fixture
def swept(recording: Any, store: str) -> Callable[..., str]:
    """Records a sweep of so many trials and returns the URI."""

    def record(name: str = "digits-1", trials: int = 4) -> str:
        with recording() as recorder:
            recorder.send(SweepStarted(name=name, job={"name": "digits", "seed": 0}, objectives=[("val/loss", "min")]))
            for trial in range(trials):
                recorder.send(TrialStarted(trial=trial, values={"lr": 0.1 * trial, "name": "adam"}, time=100.0))
                if trial != 2:
                    recorder.send(TrialEpoch(trial=trial, epoch=1, metrics={"val/loss": 1.0 + trial}))
                    recorder.send(TrialEpoch(trial=trial, epoch=2, metrics={"val/loss": math.nan}))
                    best = [Best(metric="val/loss", value=1.0 + trial, epoch=1)]
                    recorder.send(TrialEnded(trial=trial, state="pruned", reason="rung 2", best=best, time=103.5))
            recorder.send(SweepEnded(state="interrupted"))
        return store

    return record


def test_a_sweep_is_read_back(swept: Callable[..., str]) -> None:
    comparison = read_sweep(swept(), "digits-1")
    assert comparison.state == "interrupted"
    assert comparison.objectives == (("val/loss", "min"),)
    assert comparison.states == {"interrupted": 1, "pruned": 3}
    assert [row.trial for row in comparison.rows] == [0, 1, 3, 2]
    best = comparison.best
    assert best is not None
    assert (best.state, best.reason) == ("pruned", "rung 2")
    assert best.objectives == {"val/loss": 1.0}
    assert (best.best_epoch, best.epochs, best.seconds) == (1, 2, 3.5)
    assert best.values == {"lr": 0.0, "name": "adam"}
    assert best.pareto is None
    unlucky = comparison.rows[-1]
    assert (unlucky.state, unlucky.objectives, unlucky.epochs) == ("interrupted", {"val/loss": None}, 0)


def test_a_comparison_is_json(swept: Callable[..., str]) -> None:
    content = json.loads(json.dumps(read_sweep(swept(), "digits-1").to_json(), allow_nan=False))
    assert content["objectives"] == [{"metric": "val/loss", "mode": "min"}]
    assert content["trials"][0]["values"] == {"lr": 0.0, "name": "adam"}
    assert content["trials"][3]["objectives"] == {"val/loss": None}


def test_an_unknown_sweep_is_an_error_with_those_there_are(swept: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match=r"There is no sweep digits1 at .*mlflow.db. Did you mean digits-1\?"):
        read_sweep(swept(), "digits1")
    with pytest.raises(UsageError, match=r"There is no sweep 'x at .*mlflow.db. There are: digits-1\."):
        read_sweep(swept(), "'x")


def test_a_store_without_sweeps_says_so(store: str) -> None:
    with pytest.raises(UsageError, match=r"There is no sweep x at .*, nor any other\."):
        read_sweep(store, "x")


def test_a_store_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.db: no such file, so nothing has been recorded there yet"):
        read_sweep(f"sqlite:///{tmp_path}/nowhere.db", "x")


def test_known_sweeps_are_found(swept: Callable[..., str], tmp_path: Path) -> None:
    uri = swept()
    assert sweep_names(uri) == ["digits-1"]
    assert sweep_exists(uri, "digits-1")
    assert not sweep_exists(uri, "digits-2")
    assert not sweep_exists(f"sqlite:///{tmp_path}/nowhere.db", "digits-1")


def test_two_thousand_trials_are_read_in_pages(store: str) -> None:
    """Written to the database directly, which takes 0.1 s; MLflow takes 20 s."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database, database:
        for trial in range(-1, 2000):
            tags = {"trainyard.kind": "trial", "trainyard.trial": str(trial), "trainyard.state": "finished"}
            if trial == -1:
                tags = {"trainyard.kind": "sweep", "trainyard.objectives": '[["loss", "min"]]'}
            tags |= {"trainyard.sweep": "big", "trainyard.sweep_id": "1"}
            database.execute(
                "INSERT INTO runs (run_uuid, name, experiment_id, status, start_time, lifecycle_stage, source_type, "
                "artifact_uri, user_id) VALUES (?, ?, 0, 'RUNNING', 1, 'active', 'LOCAL', 'x', 'me')",
                (f"run{trial}", f"trial-{trial}"),
            )
            rows = [(name, value, f"run{trial}") for name, value in tags.items()]
            database.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", rows)
            database.execute(
                "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, 1, 1, 0, ?)",
                ("best/loss", (trial * 7919) % 2000, f"run{trial}"),
            )
    began = time.monotonic()
    table = read_sweep(store, "big").rows
    assert [item.objectives["loss"] for item in table] == list(range(2000))
    assert time.monotonic() - began < 20
