"""Pictures of trials, from the worker to MLflow: with best.pt, told once, whatever is lost in between."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from PIL import Image

from trainyard.data.dataset import Dataset
from trainyard.data.location import Location
from trainyard.data.manifest import Annotation
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.spec.training import Objective
from trainyard.sweep import run as run_module
from trainyard.sweep.contact_sheets import draw_contact_sheets
from trainyard.sweep.ledger import Ledger
from trainyard.sweep.record import TrialRecord, pictures_of
from trainyard.sweep.results.bests import Bests
from trainyard.sweep.results.checkpoints import TrialFolder, keep_only
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.run import Sweep, run_sweep
from trainyard.sweep.search.study import Study
from trainyard.sweep.slots.assignment import Assignment, Drawn, EpochDone, Started
from trainyard.sweep.slots.trial_run import Result, TrialRun
from trainyard.sweep.slots.workers import CrewLost
from trainyard.sweep.train import Training, run_training
from trainyard.tracking.events import Event, SweepEnded, SweepPictures, TrialEnded, TrialPictures, TrialStarted
from trainyard.tracking.journal import Journal
from trainyard.tracking.uri import tracking_uri

from .conftest import choice

ACCURACIES = (0.5, 0.4, 0.7, 0.6)


class DrawingWorkers:
    """Trains a trial whose accuracies are ACCURACIES. lost: the crew dies in the so-maniest epoch trained."""

    cramped = False

    def __init__(self, *, draws: bool = True, lost: int | None = None) -> None:
        self.drawn: list[int] = []
        self._draws = draws
        self._lost = lost
        self._trained = 0
        self._epochs = 0

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
        self._epochs = 0 if state is None else json.loads(state)
        history = tuple({"val/accuracy": value} for value in ACCURACIES[: self._epochs])
        return Started(history=history, live={}, done=self._done(), draws=self._draws)

    def epoch(self) -> EpochDone:
        self._trained += 1
        if self._trained == self._lost:
            raise CrewLost("a worker of the crew died")
        self._epochs += 1
        return EpochDone(metrics={"val/accuracy": ACCURACIES[self._epochs - 1]}, done=self._done())

    def state(self) -> bytes:
        return json.dumps(self._epochs).encode()

    def save(self, place: Location) -> None:
        place.write_bytes(self.state())

    def draw(self, folder: Location) -> Drawn:
        best = Path(folder.path).with_name("best.pt")
        assert best.read_bytes() == self.state(), "pictures of another state than the best"
        (folder / "00003.png").write_bytes(f"epoch {self._epochs}".encode())
        self.drawn.append(self._epochs)
        drawn = Drawn(epoch=self._epochs, files=("00003.png",))
        drawn.keep(folder)
        return drawn

    def stop(self) -> None:
        self._epochs = 0

    def _done(self) -> str | None:
        return "all epochs" if self._epochs == len(ACCURACIES) else None


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    return TrialFolder(tmp_path, 7)


def results_of(job: Job, folder: TrialFolder, workers: DrawingWorkers, *, reported: int = 0) -> list[Result]:
    saving = job.with_values({"training.checkpoint_seconds": 0.0})
    run = TrialRun(Assignment(trial=7, reported=reported), saving, workers, folder)
    results = [run.next_result()]
    while not results[-1].done:
        results.append(run.next_result())
    return results


def told(results: list[Result]) -> list[tuple[int, int | None]]:
    """The epochs of the results, each with that of the pictures that came with it."""
    return [(result.epoch, result.drawn.epoch if result.drawn else None) for result in results]


def test_pictures_are_drawn_of_each_best_epoch_and_told_with_it(digits_job: Job, folder: TrialFolder) -> None:
    workers = DrawingWorkers()
    assert told(results_of(digits_job, folder, workers)) == [(1, 1), (2, None), (3, 3), (4, None)]
    assert workers.drawn == [1, 3]


def test_a_trial_without_pictures_is_asked_for_none(digits_job: Job, folder: TrialFolder) -> None:
    workers = DrawingWorkers(draws=False)
    assert [drawn for _, drawn in told(results_of(digits_job, folder, workers))] == [None] * 4
    assert workers.drawn == []
    assert not folder.pictures.exists()


def test_pictures_drawn_before_a_loss_are_told_after_it(digits_job: Job, folder: TrialFolder) -> None:
    first = DrawingWorkers()
    run = TrialRun(Assignment(trial=7), digits_job.with_values({"training.checkpoint_seconds": 0.0}), first, folder)
    run.next_result()  # the driver dies before it hears of it
    assert told(results_of(digits_job, folder, DrawingWorkers())) == [(1, 1), (2, None), (3, 3), (4, None)]


def test_a_crew_that_is_lost_draws_again_what_it_trains_again(digits_job: Job, folder: TrialFolder) -> None:
    workers = DrawingWorkers(lost=4)
    assert told(results_of(digits_job, folder, workers))[-1] == (4, 3)
    assert (folder.pictures / "00003.png").read_bytes() == b"epoch 3"


def test_a_trial_that_was_done_but_never_told_tells_of_its_pictures(digits_job: Job, folder: TrialFolder) -> None:
    results_of(digits_job, folder, DrawingWorkers())
    folder.last.write_bytes(b"4")
    (result,) = results_of(digits_job, folder, DrawingWorkers(), reported=4)
    assert (result.state, result.drawn) == ("finished", Drawn(epoch=3, files=("00003.png",)))


def test_pictures_of_an_epoch_after_the_checkpoint_are_told_once_it_is_trained_again(
    digits_job: Job, folder: TrialFolder
) -> None:
    results_of(digits_job, folder, DrawingWorkers())
    folder.last.write_bytes(b"2")
    workers = DrawingWorkers()
    assert told(results_of(digits_job, folder, workers, reported=2)) == [(3, 3), (4, None)]
    assert workers.drawn == [3]


def test_why_pictures_are_missing_is_still_known_after_a_loss(digits_job: Job, folder: TrialFolder) -> None:
    results_of(digits_job, folder, DrawingWorkers())
    lost = Drawn(epoch=3, trouble="00003.png can't be written")
    lost.keep(folder.pictures)
    (result,) = results_of(digits_job, folder, DrawingWorkers(), reported=3)
    assert (result.epoch, result.drawn) == (4, lost)


def test_pictures_whose_drawing_was_cut_off_are_not_told(digits_job: Job, folder: TrialFolder) -> None:
    results_of(digits_job, folder, DrawingWorkers())
    (folder.pictures / "drawn.json").delete()
    assert told(results_of(digits_job, folder, DrawingWorkers(), reported=3)) == [(4, None)]


@pytest.mark.parametrize("files", [["../../../../private.key"], ["/etc/a.png"], ["00003.png", ".."], "a.png", [3]])
def test_a_note_that_names_other_files_is_none(folder: TrialFolder, files: Any) -> None:
    (folder.pictures / "drawn.json").write_bytes(json.dumps({"epoch": 1, "files": files, "trouble": ""}).encode())
    assert Drawn.kept(folder.pictures) is None


def test_a_better_trials_epochs_do_not_hide_the_own_best_one(digits_job: Job, folder: TrialFolder) -> None:
    """Its own are 0.2 and 0.1; the state of the better one has 0.5, 0.4 and 0.7, and goes on to 0.6."""
    folder.last.write_bytes(b"0")
    own = Bests(folder.bests, digits_job.objectives[0])
    own.add(1, {"val/accuracy": 0.2})
    Drawn(epoch=1, files=("00003.png",)).keep(folder.pictures)

    workers = DrawingWorkers()
    run = TrialRun(Assignment(trial=7, reported=2), digits_job, workers, folder)
    run.restore(b"3")
    assert told([run.next_result()]) == [(4, 4)]
    assert folder.best.read_bytes() == b"4"
    assert json.loads(folder.bests.read_bytes()) == [[1, 0.2], [4, 0.6]]


def test_pictures_outlive_the_states_of_their_trial(digits_job: Job, folder: TrialFolder, tmp_path: Path) -> None:
    results_of(digits_job, folder, DrawingWorkers())
    assert keep_only(tmp_path, best=[], ended=[7]) == set()
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"00003.png", "drawn.json"}


def test_what_is_known_of_pictures_is_not_taken_twice(digits_job: Job, tmp_path: Path) -> None:
    space = Space.from_dict({"parameters": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1}}})
    heard: list[Event] = []

    def ledger(past: list[Event]) -> Ledger:
        study = Study(tmp_path / "study.db", name="s", job=digits_job, space=space)
        return Ledger(study=study, record=heard.append, past=past, job=digits_job, stop_after_failures=3, listeners=())

    first = ledger([])
    assignment = first.propose()
    assert assignment is not None
    drawn = Drawn(epoch=1, files=("00003.png",))
    first.drawn(assignment.trial, drawn)
    first.drawn(assignment.trial, drawn)
    ledger(list(heard)).drawn(assignment.trial, drawn)
    assert [event for event in heard if isinstance(event, TrialPictures)] == [
        TrialPictures(trial=0, epoch=1, files=["trials/00000/pictures/00003.png"])
    ]
    assert isinstance(heard[0], TrialStarted)


def pictures_folder(sweep: Path, trial: int) -> Path:
    """The folder of a trial's pictures, made."""
    folder = Path(TrialFolder(sweep, trial).pictures.path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def record_of(number: int, value: float, *files: str) -> TrialRecord:
    objective = Objective(metric="val/miou", mode="max")
    record = TrialRecord(number, {"optimizer.lr": 0.01}, (objective,), best_epoch=3, best_metrics={"val/miou": value})
    record.pictures = pictures_of(number, Drawn(epoch=3, files=files))
    return record


def test_the_best_trials_are_put_together_image_by_image(tmp_path: Path) -> None:
    for trial, colour in ((4, (200, 0, 0)), (1, (0, 0, 200))):
        file = pictures_folder(tmp_path, trial) / "00003.png"
        Image.new("RGB", (400, 50), colour).save(file)

    event = draw_contact_sheets(tmp_path, [record_of(4, 0.7, "00003.png"), record_of(1, 0.6, "00003.png")])

    assert event == SweepPictures(files=["pictures/00003.png"])
    sheet = np.asarray(Image.open(tmp_path / "pictures" / "00003.png"))
    red, blue = ((sheet == colour).all(axis=2).any(axis=1).nonzero()[0] for colour in ((200, 0, 0), (0, 0, 200)))
    assert (len(red), len(blue)) == (50, 50)
    assert red.max() < blue.min(), "the best first"


def test_trials_without_pictures_have_no_sheets(tmp_path: Path) -> None:
    gone = record_of(1, 0.4, "00003.png")
    assert draw_contact_sheets(tmp_path, [record_of(0, 0.5), gone]) is None
    assert list(tmp_path.iterdir()) == []


def test_sheets_have_only_what_was_told_of_the_best_epoch(tmp_path: Path) -> None:
    for trial in range(3):
        for name in ("00003.png", "00005.png"):
            file = pictures_folder(tmp_path, trial) / name
            Image.new("RGB", (400, 50), (200, 0, 0)).save(file)
    earlier = record_of(0, 0.9, "00003.png", "00005.png")
    earlier.best_epoch = 4

    event = draw_contact_sheets(
        tmp_path, [earlier, record_of(1, 0.7, "00003.png", "00005.png"), record_of(2, 0.6, "00003.png")]
    )

    assert event == SweepPictures(files=["pictures/00003.png", "pictures/00005.png"])
    red = {
        name: int((np.asarray(Image.open(tmp_path / "pictures" / name)) == (200, 0, 0)).all(axis=2).any(axis=1).sum())
        for name in ("00003.png", "00005.png")
    }
    assert red == {"00003.png": 100, "00005.png": 50}


def test_an_odd_error_over_sheets_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (400, 50)).save(pictures_folder(tmp_path, 0) / "00003.png")

    def bomb(*_: object) -> None:
        raise Image.DecompressionBombError("a bomb")

    monkeypatch.setattr(Image, "open", bomb)
    assert draw_contact_sheets(tmp_path, [record_of(0, 0.5, "00003.png")]) is None
    assert "can't be put together: a bomb" in caplog.text


def test_a_sweep_that_is_stopped_over_its_sheets_has_ended(
    shapes: Callable[[Annotation], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "_train_all", lambda *_: ("finished", ""))
    monkeypatch.setattr(run_module, "draw_contact_sheets", stopped)
    space = Space.from_dict({"parameters": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1}}})
    job = job_on(shapes("mask"))
    folder, uri = SweepFolder.create(tmp_path, "stopped", job, space), tracking_uri(tmp_path)
    sweep = Sweep(job=job, space=space, dataset=Dataset.open(job.data.path), folder=folder, tracking_uri=uri)

    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep, [{"CPU": 2.0, "memory": 1e9}])

    last = Journal.read(folder.journal)[-1]
    assert isinstance(last, SweepEnded)
    assert last.state == "interrupted"


def test_sheets_that_cannot_be_written_end_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "pictures").write_text("in the way")
    (pictures_folder(tmp_path, 0) / "00003.png").write_text("no picture")
    assert draw_contact_sheets(tmp_path, [record_of(0, 0.5, "00003.png")]) is None
    assert "can't be put together" in caplog.text


# On a real Ray, with real models and records.

SEGMENTATION: dict[str, Any] = {
    "name": "shapes",
    "task": "semantic_segmentation",
    "model": {"name": "unet", "channels": [4, 8]},
    "loss": {"cross_entropy": {}},
    "optimizer": {"name": "adamw", "lr": 0.01},
    "training": {"epochs": 2, "batch_size": 8, "checkpoint_seconds": 0.0},
    "objective": {"metric": "val/miou", "mode": "max"},
}


def artifacts(uri: str) -> dict[str, dict[str, bytes]]:
    """By name of the run, the pictures among its artifacts."""
    client = mlflow.MlflowClient(uri)
    found: dict[str, dict[str, bytes]] = {}
    for run in client.search_runs([item.experiment_id for item in client.search_experiments()]):
        assert run.info.run_name
        place = Path(run.info.artifact_uri.removeprefix("file://")) / "pictures"
        if place.exists():
            found[run.info.run_name] = {path.name: path.read_bytes() for path in place.iterdir()}
    return found


def job_on(path: Path, **sections: Any) -> Job:
    return Job.from_dict(SEGMENTATION | {"data": {"path": str(path)}} | sections)


def test_a_training_alone_ends_with_the_pictures_of_its_best_epoch(
    shapes: Callable[[Annotation], Path], tmp_path: Path
) -> None:
    job = job_on(shapes("mask"))
    folder, uri = SweepFolder.create(tmp_path, "alone", job, None), tracking_uri(tmp_path)
    dataset = Dataset.open(job.data.path)
    events: list[Event] = []
    training = Training(
        job=job, dataset=dataset, data=_data(job, dataset), on_ray=False, folder=folder, tracking_uri=uri
    )

    run_training(training, listeners=[events.append])

    pictures = artifacts(uri)["alone"]
    assert len(pictures) == 4
    there = pictures_folder(folder.path, 0)
    assert pictures == {path.name: path.read_bytes() for path in there.glob("*.png")}
    (ended,) = [event for event in events if isinstance(event, TrialEnded)]
    assert [event.epoch for event in events if isinstance(event, TrialPictures)][-1] == ended.best[0].epoch


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_each_trial_of_a_sweep_has_pictures_of_the_same_images(
    shapes: Callable[[Annotation], Path], ray_nodes: list[dict[str, float]], tmp_path: Path
) -> None:
    """With crews, whose first workers draw."""
    job = job_on(shapes("mask"), resources={"workers": 2})
    search = {"sampler": "grid", "trials": 2, "keep_checkpoints": 1, "max_concurrent": 1}
    space = Space.from_dict({"parameters": {"optimizer.lr": choice(1e-2, 1e-3)}, "search": search})
    folder, uri = SweepFolder.create(tmp_path, "many", job, space), tracking_uri(tmp_path)

    outcome = run_sweep(
        Sweep(job=job, space=space, dataset=Dataset.open(job.data.path), folder=folder, tracking_uri=uri), ray_nodes
    )

    assert outcome.state == "finished"
    pictures = artifacts(uri)
    assert pictures.keys() == {"trial-0", "trial-1", "many"}
    assert pictures["many"].keys() == pictures["trial-0"].keys()
    assert pictures["trial-0"].keys() == pictures["trial-1"].keys()
    assert len(pictures["trial-0"]) == 4
    assert pictures["trial-0"] != pictures["trial-1"], "two models answer alike"
    for name in pictures["trial-0"]:
        one, other = (np.asarray(Image.open(pictures_folder(folder.path, trial) / name)) for trial in (0, 1))
        assert one.shape == other.shape
        half = (slice(50, 266), slice(0, one.shape[1] // 2))
        assert (one[half] == other[half]).all(), "the image and its truth are the same, whatever is answered"
    assert len(list((folder.path / "trials").rglob("best.pt"))) == 1


def _data(job: Job, dataset: Dataset) -> Any:
    from trainyard.data.loading import plan_data

    return plan_data(dataset.manifest, job.data, free=1 << 30)
