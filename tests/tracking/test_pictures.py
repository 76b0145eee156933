"""Pictures of trials as artifacts of their runs in MLflow: at least once, and never at the cost of anything else."""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard.errors import TrackingError
from trainyard.tracking.client import open_client
from trainyard.tracking.events import (
    Event,
    SweepEnded,
    SweepPictures,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialPictures,
    TrialStarted,
    to_json,
)
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder
from trainyard.tracking.uploads import Uploads

NAMES = ("00002.png", "00005.png")


def sweep() -> SweepStarted:
    return SweepStarted(name="s", job={"name": "j"}, objectives=[("val/miou", "max")], sweep_id="1234")


def pictured(folder: Path, trial: int, epoch: int = 1, **more: Any) -> TrialPictures:
    """Told of, and there: each file says of which trial and epoch it is."""
    files = [f"trials/{trial:05d}/pictures/{name}" for name in NAMES]
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"trial {trial}, epoch {epoch}")
    return TrialPictures(trial=trial, epoch=epoch, files=files, **more)


def trial(folder: Path, number: int, state: Any = "finished") -> Iterator[Event]:
    yield TrialStarted(trial=number, values={"optimizer.lr": 0.1})
    for epoch in (1, 2):
        yield TrialEpoch(trial=number, epoch=epoch, metrics={"val/miou": epoch / 10})
        yield pictured(folder, number, epoch)
    yield TrialEnded(trial=number, state=state)


@pytest.fixture
def artifacts(store: str, recorded: Any, tmp_path: Path) -> Callable[[], dict[str, dict[str, str]]]:
    """By run, the artifacts below pictures/ and what is in them."""

    def read() -> dict[str, dict[str, str]]:
        client = open_client(store)
        found: dict[str, dict[str, str]] = {}
        for name, run in recorded().items():
            paths = [item.path for item in client.list_artifacts(run.run_id, "pictures")]
            found[name] = {
                path: Path(client.download_artifacts(run.run_id, path, str(tmp_path))).read_text() for path in paths
            }
        return {name: files for name, files in found.items() if files}

    return read


def both(text: str) -> dict[str, str]:
    return {f"pictures/{name}": text for name in NAMES}


def test_a_trial_that_ends_has_its_last_pictures_under_the_same_names(
    recording: Any, folder: Path, artifacts: Any, recorded: Any
) -> None:
    with recording() as recorder:
        for event in [sweep(), *trial(folder, 0), *trial(folder, 1, "pruned"), *trial(folder, 2, "diverged")]:
            recorder.send(event)
        recorder.send(SweepEnded(state="finished"))
    assert artifacts() == {f"trial-{number}": both(f"trial {number}, epoch 2") for number in range(3)}
    assert recorded()["trial-1"].tags["trainyard.pictures"] == "2"


def test_a_trial_that_was_stopped_with_its_sweep_has_those_of_then_and_later_those_of_its_end(
    recording: Any, folder: Path, artifacts: Any
) -> None:
    begun = list(trial(folder, 0))[:3]
    with recording() as recorder:
        for event in [sweep(), *begun, pictured(folder, 0, 1), SweepEnded(state="interrupted")]:
            recorder.send(event)
    assert artifacts() == {"trial-0": both("trial 0, epoch 1")}
    with recording() as recorder:
        for event in [sweep(), begun[0], *list(trial(folder, 0))[3:], SweepEnded(state="finished")]:
            recorder.send(event)
    assert artifacts() == {"trial-0": both("trial 0, epoch 2")}


def test_the_sweeps_own_run_has_those_of_the_best_trials(recording: Any, folder: Path, artifacts: Any) -> None:
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "00002.png").write_text("the best")
    with recording() as recorder:
        for event in [sweep(), *trial(folder, 0), SweepPictures(files=["pictures/00002.png"])]:
            recorder.send(event)
        recorder.send(SweepEnded(state="finished"))
    assert artifacts()["s"] == {"pictures/00002.png": "the best"}


def test_a_training_alone_has_them_in_its_own_run(recording: Any, folder: Path, artifacts: Any) -> None:
    with recording(standalone=True) as recorder:
        for event in [sweep(), *trial(folder, 0), SweepEnded(state="finished")]:
            recorder.send(event)
    assert artifacts() == {"s": both("trial 0, epoch 2")}


def test_pictures_that_are_gone_take_nothing_with_them_and_are_tried_again(
    recording: Any, folder: Path, artifacts: Any, recorded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    events = [sweep(), *trial(folder, 0), *trial(folder, 1), SweepEnded(state="finished")]
    shutil.move(folder / "trials" / "00000", folder / "aside")
    with caplog.at_level(logging.WARNING, logger="trainyard"), recording() as recorder:
        for event in events:
            recorder.send(event)
    assert artifacts() == {"trial-1": both("trial 1, epoch 2")}
    (warning,) = [record.message for record in caplog.records if "Pictures" in record.message]
    assert warning.startswith("Pictures do not get into MLflow, the first of them those of trial-0: No such file")
    run = recorded()["trial-0"]
    assert (run.status, run.tags["trainyard.state"], run.history["val/miou"]) == (
        "FINISHED",
        "finished",
        [(1, 0.1), (2, 0.2)],
    )

    shutil.move(folder / "aside", folder / "trials" / "00000")
    with recording():
        pass
    assert artifacts() == {f"trial-{number}": both(f"trial {number}, epoch 2") for number in (0, 1)}


def test_a_journal_that_names_other_files_has_nothing_uploaded(
    recording: Any, folder: Path, artifacts: Any, tmp_path: Path
) -> None:
    (tmp_path / "private.key").write_text("private")
    hostile = {"event": "trial_pictures", "trial": 0, "epoch": 2, "files": ["../private.key"]}
    events: list[Event] = [sweep(), *list(trial(folder, 0))[:-2], TrialEnded(trial=0, state="finished")]
    lines = [*map(to_json, events[:-1]), json.dumps(hostile), to_json(events[-1])]
    (folder / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(TrackingError), recording():
        pass
    assert artifacts() == {}


def test_a_link_to_elsewhere_is_not_followed(
    recording: Any, folder: Path, artifacts: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever hands over a results folder has no file of this machine uploaded."""
    events = [sweep(), *trial(folder, 0), *trial(folder, 1), SweepEnded(state="finished")]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / NAMES[0]).write_text("private")
    shutil.rmtree(folder / "trials" / "00000" / "pictures")
    (folder / "trials" / "00000" / "pictures").symlink_to(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING, logger="trainyard"), recording() as recorder:
        for event in events:
            recorder.send(event)
    assert artifacts() == {"trial-1": both("trial 1, epoch 2")}
    assert f"those of trial-0: {folder}/trials/00000/pictures/00002.png leads out of the folder." in caplog.text


def test_what_is_there_is_not_sent_again(
    recording: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, artifacts: Any
) -> None:
    with recording() as recorder:
        for event in [sweep(), *trial(folder, 0), SweepEnded(state="finished")]:
            recorder.send(event)
    sent: list[str] = []
    monkeypatch.setattr(Uploads, "add", lambda self, order: sent.append(order.name))
    with recording():
        pass
    assert sent == []


def test_a_place_for_artifacts_that_takes_nothing_costs_the_pictures_only(
    recording: Any, folder: Path, store: str, recorded: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "artifacts").write_text("a file, in which no folder can be made")
    with caplog.at_level(logging.WARNING, logger="trainyard"), Journal(folder / "journal.jsonl") as journal:
        recorder = Recorder(journal, store, "test", grace=0.0)
        recorder.start()
        for event in [SweepStarted(name="s", job={}, sweep_id="1234"), *trial(folder, 0), *trial(folder, 1)]:
            recorder.send(event)
        recorder.close(60)
    assert {name: run.status for name, run in recorded().items() if name != "s"} == {
        "trial-0": "FINISHED",
        "trial-1": "FINISHED",
    }
    assert len([record for record in caplog.records if "Pictures do not get into MLflow" in record.message]) == 1


def slow_or_dead(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[str]:
    """Every upload of a picture takes so long and fails. Grows by the file's name with each."""
    from mlflow import MlflowClient

    log, tried = MlflowClient.log_artifact, list[str]()

    def fail(self: Any, run_id: str, file: str, folder: str | None = None) -> None:
        if folder != "pictures":
            return log(self, run_id, file, folder)
        tried.append(file)
        time.sleep(seconds)
        raise TimeoutError("the read operation timed out")

    monkeypatch.setattr(MlflowClient, "log_artifact", fail)
    return tried


def test_a_place_for_artifacts_that_times_out_costs_that_time_once(
    recording: Any, folder: Path, recorded: Any, artifacts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    events = [sweep(), *(event for number in range(4) for event in trial(folder, number))]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("trainyard.tracking.uploads._TRY_SECONDS", 0.05)
        tried = slow_or_dead(monkeypatch, 0.2)
        with caplog.at_level(logging.WARNING, logger="trainyard"), recording() as recorder:
            for event in [*events, SweepEnded(state="finished")]:
                recorder.send(event)
    assert len(tried) == 1
    assert len([record for record in caplog.records if "Pictures do not get into MLflow" in record.message]) == 1
    assert {run.status for run in recorded().values()} == {"FINISHED"}
    assert artifacts() == {}

    with recording():
        pass
    assert artifacts() == {f"trial-{number}": both(f"trial {number}, epoch 2") for number in range(4)}


def test_a_failure_that_passes_at_once_costs_nothing(
    recording: Any, folder: Path, artifacts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    log, failures = MlflowClient.log_artifact, [ConnectionResetError("reset"), ConnectionResetError("reset")]

    def shaky(*arguments: Any) -> None:
        if failures and "pictures" in arguments:
            raise failures.pop()
        log(*arguments)

    monkeypatch.setattr(MlflowClient, "log_artifact", shaky)
    with recording() as recorder:
        for event in [sweep(), *trial(folder, 0), SweepEnded(state="finished")]:
            recorder.send(event)
    assert artifacts() == {"trial-0": both("trial 0, epoch 2")}


def test_pictures_that_take_too_long_hold_up_no_record_and_are_no_error(
    started: Callable[..., Recorder],
    folder: Path,
    recorded: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = slow_or_dead(monkeypatch, 20.0)
    recorder = started()
    for event in [sweep(), *trial(folder, 0)]:
        recorder.send(event)
    while not tried:
        time.sleep(0.01)
    for event in [*trial(folder, 1), SweepEnded(state="finished")]:
        recorder.send(event)
    with caplog.at_level(logging.WARNING, logger="trainyard"):
        recorder.close(8.0)
    assert "Not all pictures got into MLflow" in caplog.text
    runs = recorded()
    assert {name: (run.status, len(run.history["val/miou"])) for name, run in runs.items() if name != "s"} == {
        "trial-0": ("FINISHED", 2),
        "trial-1": ("FINISHED", 2),
    }
    assert runs["s"].status == "FINISHED"


def test_why_pictures_are_missing_is_a_tag_until_they_are_there(recording: Any, folder: Path, recorded: Any) -> None:
    trouble = "can't be written: No space left on device"
    start, first, *_ = trial(folder, 0)
    lost = TrialPictures(trial=0, epoch=1, trouble=trouble)
    with recording() as recorder:
        for event in [sweep(), start, first, lost, TrialEnded(trial=0, state="pruned")]:
            recorder.send(event)
        recorder.send(TrialStarted(trial=1))
        recorder.send(TrialEpoch(trial=1, epoch=1, metrics={}))
        recorder.send(TrialPictures(trial=1, epoch=1, trouble=trouble))
        recorder.send(pictured(folder, 1, 2))
        recorder.send(TrialEnded(trial=1, state="finished"))
    assert recorded()["trial-0"].tags["trainyard.pictures_missing"] == trouble
    assert recorded()["trial-1"].tags.get("trainyard.pictures_missing", "") == ""
    assert recorded()["trial-1"].tags["trainyard.pictures"] == "2"
