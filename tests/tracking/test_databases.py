"""The recorder against MLflow servers as clusters have them: on PostgreSQL, and on SQLite beside it.

PostgreSQL is the stricter: it holds every text against the width of its column, and takes no NUL in any.
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard.tracking.client import open_client, search_experiments, search_runs
from trainyard.tracking.compare import read_sweep
from trainyard.tracking.events import (
    Best,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialPictures,
    TrialStarted,
)
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder
from trainyard.tracking.uri import check_reachable

from .servers import Postgres, Server, postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as database:
        yield database


@pytest.fixture(scope="module")
def servers(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """A server on each kind of database, started together."""
    started = {}
    for kind in ("postgresql", "sqlite"):
        folder = tmp_path_factory.mktemp(kind)
        store = database.uri if kind == "postgresql" else f"sqlite:///{folder / 'mlflow.db'}"
        started[kind] = Server(store, folder)
    for server in started.values():
        server.start()
    try:
        for server in started.values():
            _await_answer(server)
        yield started
    finally:
        for server in started.values():
            server.kill()


@pytest.fixture(params=["postgresql", "sqlite"])
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    return servers[request.param]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.tracking.recorder._LONGEST_PAUSE", 0.5)


@pytest.fixture
def recorder_of(folder: Path) -> Callable[[Server], Any]:
    """`with recorder_of(server) as recorder:` has delivered everything at the end."""
    from contextlib import contextmanager

    @contextmanager
    def record(server: Server) -> Iterator[Recorder]:
        with Journal(folder / "journal.jsonl") as journal:
            recorder = Recorder(journal, server.uri, "digits", grace=0.0)
            recorder.start()
            yield recorder
            recorder.close(60)

    return record


def _await_answer(server: Server) -> None:
    end = time.monotonic() + 90
    while True:
        try:
            return check_reachable(server.uri)
        except Exception:
            assert time.monotonic() < end, "the server does not come up"
            time.sleep(0.2)


def history(server: Server, sweep: str) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Of each trial of a sweep each metric's (step, value), as MLflow holds them."""
    client = open_client(server.uri)
    runs = search_runs(client, search_experiments(client), "")
    (parent,) = [run.info.run_id for run in runs if run.info.run_name == sweep]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent]
    assert len({run.info.run_name for run in children}) == len(children), "a trial is there twice"
    return {
        run.info.run_name: {
            metric: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]
            for metric in run.data.metrics
        }
        for run in children
    }


def started(name: str) -> SweepStarted:
    return SweepStarted(name=name, job={"name": "j"}, objectives=[("loss", "min")], sweep_id=name)


def epochs(trial: int, numbers: range) -> list[Event]:
    return [TrialEpoch(trial=trial, epoch=number, metrics={"loss": 1 / number}) for number in numbers]


def ended(trial: int) -> TrialEnded:
    return TrialEnded(trial=trial, state="finished", best=[Best(metric="loss", value=0.25, epoch=4)])


def test_a_sweep_is_there_as_it_was(server: Server, recorder_of: Any, folder: Path) -> None:
    with recorder_of(server) as recorder:
        recorder.send(started("whole"))
        for trial, loss in enumerate([0.5, math.nan, math.inf]):
            recorder.send(
                TrialStarted(trial=trial, values={f"model.layer{index}.width": index for index in range(300)})
            )
            metrics = {"loss": loss, **{f"class/{index}": index / 7 for index in range(1200)}}
            recorder.send(TrialEpoch(trial=trial, epoch=1, metrics=metrics))
            (folder / "pictures").mkdir(exist_ok=True)
            (folder / "pictures" / "1.png").write_bytes(b"\x89PNG")
            recorder.send(TrialPictures(trial=trial, epoch=1, files=["pictures/1.png"]))
            recorder.send(TrialEnded(trial=trial, state="finished", best=[Best(metric="loss", value=loss, epoch=1)]))
        recorder.send(SweepEnded(state="finished"))
    found = read_sweep(server.uri, "whole")
    assert found.states == {"finished": 3}
    assert len(found.rows[0].values) == 300
    losses = [row.objectives["loss"] for row in found.rows]
    assert losses[0] == 0.5
    assert math.isnan(losses[1] or 0)
    assert losses[2] == math.inf
    client = open_client(server.uri)
    run = client.get_run(found.rows[0].run_id)
    assert len(run.data.metrics) == 1200 + len({"loss", "best/loss", "best/epoch"})
    assert run.info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(found.rows[0].run_id, "pictures")] == ["pictures/1.png"]


@pytest.mark.parametrize(
    ("case", "awkward"),
    [
        ("nul", "CUDA error\x00 at 0x00"),
        ("surrogate", "file \udcff.png"),
        ("unicode", "größer als 🚂 " * 3),
        ("long", "x" * 20_000),
        ("wide", "🚂" * 9_000),
        ("quotes", 'it\'s "quoted"; DROP TABLE runs; -- %s {} \\'),
    ],
)
def test_any_text_is_taken(server: Server, recorder_of: Any, case: str, awkward: str) -> None:
    """What users' own models raise and what they call their settings."""
    with recorder_of(server) as recorder:
        recorder.send(started(f"text-{case}"))
        recorder.send(TrialStarted(trial=0, values={"model.text": awkward}))
        recorder.send(TrialEpoch(trial=0, epoch=1, metrics={"loss": 1.0, f"val/{awkward[:40]}": 2.0}))
        recorder.send(TrialEnded(trial=0, state="failed", reason=awkward))
        recorder.send(SweepEnded(state="finished"))
    (row,) = read_sweep(server.uri, f"text-{case}").rows
    assert row.state == "failed"
    run = open_client(server.uri).get_run(row.run_id)
    assert run.data.tags["trainyard.reason"][:5] == awkward[:5]
    assert run.data.params["model.text"][:5] == awkward[:5]
    assert len(run.data.metrics) == 2


def test_a_sweep_that_goes_on_has_each_epoch_once(server: Server, recorder_of: Any) -> None:
    with recorder_of(server) as recorder:
        recorder.send(started("resumed"))
        recorder.send(TrialStarted(trial=0, values={"optimizer.lr": 0.1}))
        for event in epochs(0, range(1, 4)):
            recorder.send(event)
    with recorder_of(server) as recorder:  # reads the journal from its first line
        for event in (*epochs(0, range(3, 5)), ended(0), SweepEnded(state="finished")):
            recorder.send(event)
    found = history(server, "resumed")
    assert found["trial-0"]["loss"] == [(number, 1 / number) for number in range(1, 5)]


def test_a_server_that_dies_in_between_misses_nothing(server: Server, recorder_of: Any) -> None:
    with recorder_of(server) as recorder:
        recorder.send(started("killed"))
        recorder.send(TrialStarted(trial=0, values={"optimizer.lr": 0.1}))
        for event in epochs(0, range(1, 3)):
            recorder.send(event)
        _until(lambda: not recorder.undelivered)
        server.kill()
        for event in epochs(0, range(3, 5)):
            recorder.send(event)
        _until(lambda: recorder.trouble)
        server.start()
        _await_answer(server)
        recorder.send(ended(0))
        recorder.send(SweepEnded(state="finished"))
    assert history(server, "killed")["trial-0"]["loss"] == [(number, 1 / number) for number in range(1, 5)]


def test_a_database_that_is_away_misses_nothing(
    servers: dict[str, Server], database: Postgres, recorder_of: Any
) -> None:
    server = servers["postgresql"]
    with recorder_of(server) as recorder:
        recorder.send(started("away"))
        recorder.send(TrialStarted(trial=0, values={"optimizer.lr": 0.1}))
        for event in epochs(0, range(1, 3)):
            recorder.send(event)
        _until(lambda: not recorder.undelivered)
        database.stop()
        try:
            for event in epochs(0, range(3, 5)):
                recorder.send(event)
            _until(lambda: recorder.trouble)
        finally:
            database.start()
        recorder.send(ended(0))
        recorder.send(SweepEnded(state="finished"))
    assert history(server, "away")["trial-0"]["loss"] == [(number, 1 / number) for number in range(1, 5)]


def _until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
