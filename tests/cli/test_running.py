"""Nothing is started, and nothing left behind, before all is checked."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from trainyard.cli.request import Request, new_sweep, resumed_sweep
from trainyard.cli.running import opened
from trainyard.data.location import Location
from trainyard.data.source import Example
from trainyard.data.writer import write_dataset
from trainyard.errors import UsageError
from trainyard.sweep.opening import opening
from trainyard.tracking.journal import Journal

from .conftest import Answer, sweep_started, trained

FILES = ("jobs/digits_cnn.yaml", "search_spaces/digits.yaml")
RESULTS = Path("results")


@pytest.fixture
def request_(place: Path) -> Request:
    return new_sweep(FILES, None, "new", Location.of(RESULTS))


@pytest.mark.parametrize("verb", ["sweep", "train"])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.path=nowhere", "no data set at nowhere. Import one there, such as the digits: trainyard data import"),
        ("data.evaluate_split=eval", "data/digits has no split eval, which data.evaluate_split names. It has: train,"),
        (
            "model={name: torchvision, architecture: squeezenet1_1}",
            "model torchvision takes images of 3 channels, data/digits has 1. Set data.channels: 3.",
        ),
        (
            "model={name: torchvision, architecture: squeezenet1_1, weights: weights/none.pth}",
            "command line: model.weights: there is no file weights/none.pth in ",
        ),
    ],
)
def test_a_data_set_that_does_not_fit(
    verb: str, override: str, message: str, place: Path, cli: Callable[..., Answer]
) -> None:
    answer = cli(verb, *(FILES if verb == "sweep" else FILES[:1]), override)

    assert answer.code == 2
    assert answer.err.startswith(message)
    assert not RESULTS.exists()


def test_a_data_set_that_is_for_another_task(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("train", FILES[0], "task=semantic_segmentation", "model.name=unet", "objective.metric=val/miou")

    assert answer.code == 2
    assert answer.err.startswith("job digits-cnn: task semantic_segmentation needs masks, data/digits has labels. ")
    assert not RESULTS.exists()


def test_embeddings_that_do_not_fit_the_memory(
    place: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]
) -> None:
    image, mask = np.zeros((8, 8, 3), np.uint8), np.eye(8, dtype=np.uint8)
    splits = ["train"] * 4 + ["val"] * 4
    examples = [Example(name=str(row), split=split, image=image, mask=mask) for row, split in enumerate(splits)]
    write_dataset(Path("data/nuclei"), examples, annotation="mask", classes=("ground", "nucleus"), source="tests")
    monkeypatch.setattr("trainyard.data.memory.free_memory", lambda: 1 << 20)
    Path("none.pt").touch()
    answer = cli("train", "jobs/nuclei_sam.yaml", "resources.gpus_per_worker=0", "model.weights=./none.pt")

    assert answer.code == 2
    assert answer.err.startswith("the embeddings of train (18 MiB) and val (9.0 MiB) don't fit the memory of this ")
    assert not RESULTS.exists()


def test_a_tracking_server_that_does_not_answer(
    place: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    answer = cli("sweep", *FILES)

    assert answer.code == 2
    assert answer.err.startswith("No MLflow server answers at http://127.0.0.1:9: ")
    assert not RESULTS.exists()


def test_a_cluster_that_does_not_answer(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("sweep", *FILES, "--address", "ray://127.0.0.1:9")

    assert answer.code == 2
    assert answer.err.startswith("No Ray cluster answers at ray://127.0.0.1:9: connection refused.")
    assert not RESULTS.exists()


def test_cpus_of_a_cluster_are_not_chosen(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("sweep", *FILES, "--address", "auto", "--cpus", "1")

    assert answer.err == "--cpus is for this machine, and --address names a cluster. Leave one of them out.\n"


@pytest.mark.parametrize("verb", ["sweep", "train"])
def test_what_does_not_fit_this_machine_is_refused_before_ray_starts(
    verb: str, place: Path, cli: Callable[..., Answer]
) -> None:
    files = ["jobs/digits_crew.yaml", FILES[1]][: 2 if verb == "sweep" else 1]

    answer = cli(verb, *files, "resources.cpus_per_worker=1000")

    assert answer.code == 2
    assert answer.err.startswith("digits-crew needs 2 workers with 1000 CPU and 0 GPU each, and 0 such places fit")
    assert not RESULTS.exists()


def test_a_results_folder_that_is_a_file(place: Path, cli: Callable[..., Answer]) -> None:
    Path("file").touch()

    answer = cli("sweep", *FILES, "--results", "file")

    assert answer.code == 2
    assert "records cannot be written there" in answer.err


def test_a_name_that_is_taken(place: Path, cli: Callable[..., Answer]) -> None:
    (RESULTS / "new").mkdir(parents=True)

    answer = cli("sweep", *FILES, "--name", "new")

    assert answer.code == 2
    assert "the name new is taken. Go on with what is there by --resume new" in answer.err
    assert list((RESULTS / "new").iterdir()) == []


def test_a_name_that_mlflow_has_already(
    place: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]
) -> None:
    with closing(sqlite3.connect("shared.db")) as database, database:
        database.execute("CREATE TABLE runs (run_uuid TEXT, lifecycle_stage TEXT)")
        database.execute("CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT)")
        database.execute("INSERT INTO runs VALUES ('1', 'active')")
        database.execute("INSERT INTO tags VALUES ('1', 'trainyard.sweep', 'new')")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/shared.db")

    answer = cli("sweep", *FILES, "--name", "new")

    assert answer.code == 2
    assert answer.err == (
        f"sqlite:///{place}/shared.db: a sweep new is recorded there already, with another results folder than "
        "results. Give this one another --name.\n"
    )
    assert not RESULTS.exists()


def test_a_folder_in_which_nothing_was_recorded_is_removed(request_: Request) -> None:
    with opened(request_) as parts, Journal(parts.folder.journal):
        parts.folder.study.touch()

    assert not RESULTS.exists()


def test_the_results_of_others_stay(request_: Request) -> None:
    (RESULTS / "old").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), opened(request_):
        raise KeyboardInterrupt

    assert [path.name for path in RESULTS.iterdir()] == ["old"]


def test_what_was_recorded_stays(request_: Request) -> None:
    with opened(request_) as parts, Journal(parts.folder.journal) as journal:
        journal.append(sweep_started())

    assert (RESULTS / "new" / "job.yaml").exists()


def test_a_resumed_sweep_knows_its_past(request_: Request) -> None:
    with opened(request_) as parts, Journal(parts.folder.journal) as journal:
        for event in [sweep_started(), *trained(0, [0.5])]:
            journal.append(event)

    with opened(resumed_sweep(None, None, "new", Location.of(RESULTS))) as parts:
        assert [event.kind for event in parts.past] == ["sweep_started", "trial_started", "trial_epoch", "trial_ended"]


def test_a_sweep_whose_weights_were_exchanged_is_not_resumed(place: Path) -> None:
    weights, job = Path("weights.pt"), "jobs/vehicles_svm.yaml"
    weights.write_bytes(b"some")
    overrides = ["data={path: data/digits, channels: 3}", "model.features.weights=weights.pt"]
    request = new_sweep([job, "search_spaces/svm.yaml", *overrides], 3, "new", Location.of(RESULTS))
    with opened(request) as parts, Journal(parts.folder.journal) as journal:
        journal.append(opening("new", request.job, request.space, parts.dataset.manifest))

    with opened(resumed_sweep(None, 4, "new", Location.of(RESULTS))) as parts:
        assert len(parts.past) == 1
    weights.write_bytes(b"others")
    refused = pytest.raises(UsageError, match=r"new began with other weights to extract with than are there now")
    with refused, opened(resumed_sweep(None, 5, "new", Location.of(RESULTS))):
        pass
    space = parts.folder.space()
    assert space is not None
    assert space.search.trials == 4


def test_a_sweep_that_still_runs_is_not_resumed(request_: Request) -> None:
    with opened(request_) as parts, Journal(parts.folder.journal) as journal:
        journal.append(sweep_started())
        with pytest.raises(UsageError), opened(resumed_sweep(None, None, "new", Location.of(RESULTS))):
            pass


def test_nor_is_one_of_which_nothing_is_recorded_yet(request_: Request) -> None:
    with opened(request_) as parts:
        refused = pytest.raises(UsageError, match=r"results/new: process \d+ on .* is writing this sweep")
        with refused, opened(resumed_sweep(None, None, "new", Location.of(RESULTS))):
            pass
        assert parts.folder.space() is not None

    assert not RESULTS.exists()


def test_a_training_is_shown_recorded_and_resumed(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("train", FILES[0], "training.epochs=2", "--name", "once")

    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == "training once: at most 2 epochs"
    assert lines[1].startswith("epoch 1/2 val/accuracy=0.")
    assert lines[2].startswith("epoch 2/2 val/accuracy=0.")
    assert lines[-3].startswith("Best: val/accuracy=0.")
    assert lines[-1] == "Open the MLflow UI:   trainyard ui"
    assert cli("train", "--resume", "once").out.splitlines()[-3:] == lines[-3:]


def test_a_training_that_misses_its_target_says_so(place: Path, cli: Callable[..., Answer]) -> None:
    target = ["objective={metric: val/steps_to_target, mode: min}", "training.target={metric: val/accuracy, value: 1}"]

    answer = cli("train", FILES[0], *target, "training.epochs=1", "training.steps_per_epoch=1", "--name", "missed")

    assert answer.code == 0, answer.err
    assert "Best: none (all epochs; the target was not reached)" in answer.out.splitlines()


def test_a_training_that_fails_exits_1_with_its_reason(place: Path, cli: Callable[..., Answer]) -> None:
    Path("jobs/broken.py").write_text("def build(image, outputs):\n    raise ValueError('no such layer')\n")

    answer = cli("train", FILES[0], "model.name=broken:build", "--name", "bad", "--format", "json")

    assert answer.code == 1
    assert answer.err.startswith("The training bad failed: ")
    assert "no such layer" in answer.err
    assert answer.err.endswith("When the cause is mended, go on with: trainyard train --resume bad\n")
