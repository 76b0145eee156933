"""The recorder against a real SQLite store."""

import math
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from trainyard.errors import TrackingError
from trainyard.tracking.client import open_client
from trainyard.tracking.events import (
    Best,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialNote,
    TrialStarted,
)
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder

JOB = {"name": "digits", "optimizer": {"name": "adam", "lr": 0.001}, "model": {"name": "cnn", "channels": [8, 16]}}


def sweep(name: str = "s", **more: Any) -> SweepStarted:
    return SweepStarted(name=name, job=JOB, objectives=[("val/accuracy", "max")], sweep_id="1234", **more)


def trial(number: int, epochs: int = 3, state: Any = "finished", **metrics: float) -> list[Event]:
    best = [Best(metric="val/accuracy", value=0.9, epoch=epochs)] if epochs else []
    return [
        TrialStarted(trial=number, values={"optimizer.lr": 0.01 * (number + 1)}),
        *epochs_of(number, range(1, epochs + 1), **metrics),
        TrialEnded(trial=number, state=state, reason=f"it {state}", best=best),
    ]


def epochs_of(number: int, epochs: range, **metrics: float) -> list[Event]:
    return [TrialEpoch(trial=number, epoch=e, metrics={"val/accuracy": e / 10, **metrics}) for e in epochs]


def send(recorder: Recorder, *events: Event) -> None:
    for event in events:
        recorder.send(event)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_sweep_becomes_a_parent_and_its_trials(recording: Any, recorded: Any) -> None:
    with recording() as recorder:
        send(recorder, sweep(tags={"trainyard.data": "f00"}), *trial(0), *trial(1), SweepEnded(state="finished"))
    runs = recorded()
    assert sorted(runs) == ["s", "trial-0", "trial-1"]
    assert runs["s"].tags["trainyard.data"] == "f00"
    assert runs["s"].tags["trainyard.kind"] == "sweep"
    for number in (0, 1):
        run = runs[f"trial-{number}"]
        assert run.tags["mlflow.parentRunId"] == runs["s"].run_id
        assert run.tags["trainyard.trial"] == str(number)
        assert run.history["val/accuracy"] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_parameters_are_flattened_and_hold_what_was_sampled(recording: Any, recorded: Any) -> None:
    with recording() as recorder:
        send(recorder, sweep(), *trial(1))
    assert recorded()["trial-1"].params == {
        "name": "digits",
        "optimizer.name": "adam",
        "optimizer.lr": "0.02",
        "model.name": "cnn",
        "model.channels": "[8, 16]",
    }


def test_the_best_value_and_its_epoch_are_metrics(recording: Any, recorded: Any) -> None:
    with recording() as recorder:
        send(recorder, sweep(), *trial(0, epochs=2))
    metrics = recorded()["trial-0"].metrics
    assert metrics["best/val/accuracy"] == 0.9
    assert metrics["best/epoch"] == 2


@pytest.mark.parametrize(
    ("state", "status"), [("finished", "FINISHED"), ("pruned", "KILLED"), ("failed", "FAILED"), ("diverged", "FAILED")]
)
def test_a_trial_ends_in_its_state(recording: Any, recorded: Any, state: str, status: str) -> None:
    with recording() as recorder:
        send(recorder, sweep(), *trial(0, state=state))
    run = recorded()["trial-0"]
    assert run.status == status
    assert run.tags["trainyard.state"] == state
    assert run.tags["trainyard.reason"] == f"it {state}"
    assert run.tags["trainyard.epochs"] == "3"


def test_specs_and_environment_are_artifacts(recording: Any, recorded: Any, tmp_path: Path) -> None:
    space = {"parameters": {"optimizer.lr": {"type": "float", "low": 1e-5, "high": 0.1}}}
    with recording() as recorder:
        send(recorder, sweep(space=space, environment="python 3\n"), SweepEnded(state="finished"))
    files = {path.name: path.read_text() for path in (tmp_path / "artifacts").rglob("*.*")}
    assert files.keys() == {"job.yaml", "space.yaml", "environment.txt"}
    assert "low: 1e-05" in files["space.yaml"]
    assert files["environment.txt"] == "python 3\n"


def test_a_trial_alone_has_no_parent(recording: Any, recorded: Any) -> None:
    with recording(standalone=True) as recorder:
        send(recorder, sweep("digits-1"), *trial(0), SweepEnded(state="finished"))
    ((name, run),) = recorded().items()
    assert name == "digits-1"
    assert run.status == "FINISHED"
    assert run.tags["trainyard.state"] == "finished"
    assert "mlflow.parentRunId" not in run.tags
    assert "trainyard.sweep" not in run.tags
    assert run.history["val/accuracy"] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert run.params["optimizer.lr"] == "0.01"


def test_a_running_trial_is_seen_while_it_runs(recording: Any, recorded: Any) -> None:
    with recording() as recorder:
        send(recorder, sweep(), *trial(0)[:3])
        until(lambda: recorder.undelivered == 0)
        run = recorded()["trial-0"]
        assert run.status == "RUNNING"
        assert run.tags["trainyard.state"] == "running"
        assert run.history["val/accuracy"] == [(1, 0.1), (2, 0.2)]
        assert run.tags["trainyard.epochs"] == "2"
        send(recorder, *trial(0)[3:])
    assert recorded()["trial-0"].history["val/accuracy"] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_notes_become_tags_also_after_the_end(recording: Any, recorded: Any) -> None:
    with recording() as recorder:
        send(recorder, sweep(), *trial(0), TrialNote(trial=0, tags={"trainyard.slot": 1}))
        until(lambda: recorder.undelivered == 0)
        send(recorder, TrialNote(trial=0, tags={"trainyard.live.optimizer.lr": 0.01}))
    tags = recorded()["trial-0"].tags
    assert tags["trainyard.slot"] == "1"
    assert tags["trainyard.live.optimizer.lr"] == "0.01"


def test_nan_and_infinities_are_recorded(recording: Any, recorded: Any) -> None:
    with recording() as recorder:
        send(recorder, sweep(), *trial(0, nan=math.nan, high=math.inf, low=-math.inf))
    history = recorded()["trial-0"].history
    assert len(history["val/accuracy"]) == 3
    assert [math.isnan(value) for _, value in history["nan"]] == [True] * 3
    assert (
        [value > 1e308 for _, value in history["high"]] == [value < -1e308 for _, value in history["low"]] == [True] * 3
    )


def test_odd_values_are_recorded(recording: Any, recorded: Any) -> None:
    values = {"none": None, "yes": True, "list": [1, [2.5, "x"]], "long": "ä" * 7000, "empty": "", "bad": "\ud800"}
    with recording() as recorder:
        send(recorder, sweep(), TrialStarted(trial=0, values=values), TrialEnded(trial=0, state="finished"))
    params = recorded()["trial-0"].params
    assert params["none"] == "null"
    assert params["yes"] == "true"
    assert params["list"] == '[1, [2.5, "x"]]'
    assert params["long"] == "ä" * 5999 + "…"
    assert params["empty"] == ""
    assert params["bad"] == "?"


def test_more_than_mlflow_takes_at_once_is_recorded(recording: Any, recorded: Any) -> None:
    values = {f"model.layer{index}.width": index for index in range(300)}
    metrics = {f"class/{index}": index / 7 for index in range(1500)}
    with recording() as recorder:
        send(recorder, sweep(), TrialStarted(trial=0, values=values))
        send(recorder, TrialEpoch(trial=0, epoch=1, metrics=metrics), TrialEpoch(trial=0, epoch=2, metrics=metrics))
    run = recorded()["trial-0"]
    assert len(run.params) == 300 + 5
    assert {name: len(history) for name, history in run.history.items()} == dict.fromkeys(metrics, 2)


def test_odd_names_are_recorded(recording: Any, recorded: Any) -> None:
    odd: dict[str, Any] = {"top 5 (%)": 1.0, "a//b": 2.0, "größe": 3.0, "": 4.0}
    with recording() as recorder:
        send(recorder, sweep(), *trial(0, **odd))
    assert len(recorded()["trial-0"].history) == 1 + 4 + 2


def test_the_same_epoch_twice_is_recorded_once(recording: Any, recorded: Any) -> None:
    with recording() as recorder:
        send(recorder, sweep(), *trial(0)[:3], *epochs_of(0, range(2, 5)))
    assert recorded()["trial-0"].history["val/accuracy"] == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]


def test_an_interrupted_sweep_leaves_nothing_running_and_goes_on(recording: Any, recorded: Any) -> None:
    with recording() as recorder:
        send(recorder, sweep(), *trial(0), *trial(1)[:2], SweepEnded(state="interrupted", reason="Ctrl-C"))
    runs = recorded()
    assert {name: run.status for name, run in runs.items()} == {
        "s": "KILLED",
        "trial-0": "FINISHED",
        "trial-1": "KILLED",
    }
    assert runs["trial-1"].tags["trainyard.state"] == runs["s"].tags["trainyard.state"] == "interrupted"
    with recording() as recorder:
        send(recorder, sweep(), TrialStarted(trial=1, values={"optimizer.lr": 0.02}), *epochs_of(1, range(2, 3)))
        until(lambda: recorder.undelivered == 0)
        runs = recorded()
        assert runs["trial-1"].status == runs["s"].status == "RUNNING"
        assert runs["trial-1"].tags["trainyard.state"] == runs["s"].tags["trainyard.state"] == "running"
        send(recorder, *trial(1)[3:], SweepEnded(state="finished"))
    runs = recorded()
    assert {run.status for run in runs.values()} == {"FINISHED"}
    assert runs["trial-1"].history["val/accuracy"] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert runs["s"].tags["trainyard.reason"] == ""


def test_a_journal_can_be_told_to_another_store(recording: Any, recorded: Any, folder: Path, tmp_path: Path) -> None:
    with Journal(folder / "journal.jsonl") as journal:
        for event in [sweep(), *trial(0), *trial(1)[:3], SweepEnded(state="interrupted")]:
            journal.append(event)
    for _ in range(3):
        with recording():
            pass
    runs = recorded()
    assert {name: run.status for name, run in runs.items()} == {
        "s": "KILLED",
        "trial-0": "FINISHED",
        "trial-1": "KILLED",
    }
    assert runs["trial-1"].history["val/accuracy"] == [(1, 0.1), (2, 0.2)]


def test_sending_does_not_wait_for_mlflow(store: str, recording: Any, recorded: Any) -> None:
    database = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)
    with closing(database), recording() as recorder:
        database.execute("BEGIN EXCLUSIVE")  # nobody else gets at the database
        began = time.monotonic()
        send(recorder, sweep(), *trial(0), *trial(1))
        assert time.monotonic() - began < 0.5
        time.sleep(0.5)
        assert recorder.undelivered == 11
        database.execute("ROLLBACK")
    assert len(recorded()) == 3


def test_others_may_read_meanwhile(store: str, recording: Any, recorded: Any) -> None:
    stop = threading.Event()
    failures: list[Exception] = []

    def read() -> None:
        client = open_client(store)
        while not stop.is_set():
            try:
                client.search_runs(["0", "1"], max_results=100)
            except Exception as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    with recording() as recorder:
        send(recorder, sweep(), *(event for number in range(30) for event in trial(number)))
    stop.set()
    reader.join()
    assert not failures
    assert len(recorded()) == 31


def test_a_run_deleted_meanwhile_does_not_stop_the_others(store: str, started: Any, recorded: Any) -> None:
    recorder = started()
    send(recorder, sweep(), *trial(0)[:2])
    until(lambda: recorder.undelivered == 0)
    open_client(store).delete_run(recorded()["trial-0"].run_id)
    send(recorder, *trial(0)[2:], *trial(1))
    with pytest.raises(TrackingError, match=r"refused \d of the records, .*journal.jsonl:\n  .*deleted"):
        recorder.close(60)
    assert recorded()["trial-1"].status == "FINISHED"


def test_a_parameter_that_changed_does_not_cost_the_metrics(started: Any, recorded: Any) -> None:
    recorder = started()
    send(recorder, sweep(), *trial(0)[:2])
    until(lambda: recorder.undelivered == 0)
    send(recorder, TrialStarted(trial=0, values={"optimizer.lr": 5.0}), *trial(0)[2:])
    with pytest.raises(TrackingError, match=r"params of run .*Changing param values is not allowed"):
        recorder.close(60)
    run = recorded()["trial-0"]
    assert (run.params["optimizer.lr"], run.status) == ("0.01", "FINISHED")
    assert len(run.history["val/accuracy"]) == 3


def test_an_answer_that_got_lost_makes_no_second_run(
    recording: Any, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    create = MlflowClient.create_run
    lost: list[int] = []

    def create_and_lose(*args: Any, **options: Any) -> Any:
        run = create(*args, **options)
        if len(lost) < 2:
            lost.append(1)
            raise ConnectionResetError("the connection broke before the answer came")
        return run

    monkeypatch.setattr(MlflowClient, "create_run", create_and_lose)
    with recording() as recorder:
        send(recorder, sweep(), *trial(0), *trial(1), SweepEnded(state="finished"))
    runs = recorded()  # would find a run that is there twice
    assert len(runs) == 3
    assert runs["trial-0"].history["val/accuracy"] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_of_two_runs_for_one_trial_the_fuller_is_kept(store: str, recording: Any, recorded: Any) -> None:
    with recording() as recorder:
        send(recorder, sweep(), *trial(0)[:3])
    client = open_client(store)
    first = recorded()["trial-0"]
    experiment = client.get_experiment_by_name("test").experiment_id
    client.create_run(experiment, tags={**first.tags, "trainyard.epochs": "0"}, run_name="trial-0")
    with recording() as recorder:
        send(recorder, *trial(0)[3:])
    assert recorded()["trial-0"].run_id == first.run_id
    assert recorded()["trial-0"].status == "FINISHED"


def test_a_run_that_always_fails_does_not_hold_up_the_others(
    started: Any, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    create = MlflowClient.create_run

    def fail(*args: Any, **options: Any) -> Any:
        if options["run_name"] == "trial-0":
            raise RuntimeError("the server has a mistake")
        return create(*args, **options)

    monkeypatch.setattr(MlflowClient, "create_run", fail)
    monkeypatch.setattr("trainyard.tracking.recorder._TRIES", 2)
    recorder = started()
    send(recorder, sweep(), *trial(0), *trial(1))
    with pytest.raises(TrackingError, match=r"refused 1 of the records, .*\n  trial-0: the server has a mistake"):
        recorder.close(60)
    assert set(recorded()) == {"s", "trial-1"}


def test_artifacts_that_cannot_be_stored_cost_nothing_else(
    started: Any, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard.tracking.recorder._TRIES", 2)
    recorder = started(artifact_root="file:///proc/nowhere")
    send(recorder, sweep(), *trial(0), SweepEnded(state="finished"))
    with pytest.raises(TrackingError, match=r"refused 1 of the records, .*\n  s: No such file or directory"):
        recorder.close(60)
    assert {run.status for run in recorded().values()} == {"FINISHED"}


def test_what_could_not_be_delivered_is_told(started: Any, folder: Path) -> None:
    command = "trainyard sweep job.yaml space.yaml --resume s"
    recorder = started("http://me:secret@127.0.0.1:9", deliver_with=command)
    send(recorder, sweep(), *trial(0))
    until(lambda: recorder.trouble)
    with pytest.raises(TrackingError) as caught:
        recorder.close(0.1)
    told = str(caught.value)
    assert told.startswith("6 records have not reached MLflow at http://***@127.0.0.1:9: Connection refused.")
    assert told.endswith(f"They are kept in {folder}/journal.jsonl. Deliver them with: {command}")
    assert "secret" not in told


def test_a_server_that_is_away_is_mentioned_once(started: Any, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = started("http://127.0.0.1:9")
    send(recorder, sweep(), *trial(0))
    until(lambda: recorder.trouble)
    with pytest.raises(TrackingError):
        recorder.close(0.5)
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("trainyard")]
    assert said.startswith("MLflow at http://127.0.0.1:9 takes no records (Connection refused)")
    assert said.endswith(f"Training goes on; they are kept in {folder}/journal.jsonl and delivered later.")


def test_a_damaged_journal_is_told(started: Any, folder: Path) -> None:
    with Journal(folder / "journal.jsonl") as journal:
        journal.append(sweep())
    with (folder / "journal.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(TrackingError, match=r"journal\.jsonl:2: this line of the journal is damaged"):
        started().close(60)


def test_a_deleted_experiment_is_told_with_the_way_out(store: str, started: Any) -> None:
    client = open_client(store)
    client.delete_experiment(client.create_experiment("test"))
    recorder = started()
    send(recorder, sweep())
    until(lambda: recorder.trouble)
    with pytest.raises(TrackingError, match="test was deleted in MLflow; restore it with `mlflow experiments restore"):
        recorder.close(0.1)


def test_memory_is_bounded_while_the_server_is_away(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.tracking.recorder._MOST_HELD", 1000)
    recorder = started("http://127.0.0.1:9")
    send(recorder, sweep(), *(event for number in range(1000) for event in trial(number)))
    until(lambda: recorder.trouble)
    assert recorder._outbox.size < 2000
    assert recorder.undelivered == 5001
    with pytest.raises(TrackingError, match="5001 records"):
        recorder.close(0.1)


def test_mlflow_is_imported_late_and_only_for_events(folder: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from trainyard.tracking.events import SweepStarted, TrialEpoch
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder
with Journal(Path(sys.argv[1])) as journal:
    idle = Recorder(journal, "http://127.0.0.1:9", "x"); idle.start(); idle.close()
    recorder = Recorder(journal, "http://127.0.0.1:9", "x"); recorder.start()
    recorder.send(SweepStarted(name="s", job={}))
    time.sleep(0.3)
    print("mlflow" in sys.modules)
    recorder.send(TrialEpoch(trial=0, epoch=1, metrics={}))
    while "mlflow" not in sys.modules: time.sleep(0.01)
    print("then it was")
"""
    answer = subprocess.run(
        [sys.executable, "-c", code, folder / "journal.jsonl"], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split("\n")[:2] == ["False", "then it was"]
