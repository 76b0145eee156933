"""`evaluate`: the best state of a trial, measured on another split."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trainyard.cli.main import run
from trainyard.data.dataset import Dataset
from trainyard.data.local import read_here
from trainyard.spec.load import load_job
from trainyard.spec.space import Space
from trainyard.sweep.opening import opening
from trainyard.sweep.results.checkpoints import TrialFolder
from trainyard.sweep.results.folder import SweepFolder
from trainyard.tracking.client import open_client, search_experiments, search_runs
from trainyard.tracking.events import Event, TrialEpoch, TrialStarted
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder
from trainyard.training.checkpoint import save_state
from trainyard.training.trial import Trial

from .conftest import ROOT, Answer

JOB = ROOT / "jobs" / "digits_cnn.yaml"
NETS = """
from torch import nn

def build(image, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(image[0] * image[1] * image[2], outputs))
"""


@dataclass(frozen=True)
class Results:
    """A results folder with a training `once`, and a sweep `sweep` that goes on: trial 0 of four channels, trial 1, the
    better one, of eight, and trial 2, of which no state is kept."""

    place: Path
    digits: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.place}/mlflow.db"

    def metrics(self, run_name: str) -> dict[str, list[tuple[int, float]]]:
        """By name, the steps and values of a run in MLflow."""
        client = open_client(self.uri)
        (run,) = search_runs(client, search_experiments(client), f"attributes.run_name = '{run_name}'")
        history = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        return {name: [(point.step, point.value) for point in points] for name, points in history.items()}

    def epochs(self, name: str) -> list[TrialEpoch]:
        events = Journal.read(self.place / name / "journal.jsonl")
        return [event for event in events if isinstance(event, TrialEpoch)]


def evaluated(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name.startswith("val/")}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Results:
    place = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        options = ["--name", "once", "--results", str(place)]
        assert run(["train", str(JOB), f"data.path={digits}", "training.epochs=3", "optimizer.lr=0.02", *options]) == 0
    results = Results(place, digits)
    write_sweep(results)
    return results


def write_sweep(results: Results) -> None:
    """As it is while a driver trains."""
    job = load_job(JOB, [f"data.path={results.digits}", "training.epochs=2"])
    space = Space.from_dict({"parameters": {"model.dropout": {"type": "float", "low": 0.0, "high": 0.9}}})
    dataset = Dataset.open(results.digits)
    data = read_here(dataset, job.data)
    folder = SweepFolder.create(results.place, "sweep", job, space)
    events: list[Event] = [opening("sweep", job, space, dataset.manifest)]
    for number, (channels, lr) in enumerate([(4, 1e-4), (8, 2e-2), (4, 1e-5)]):
        values = {"model.channels": [channels], "optimizer.lr": lr}
        trial = Trial(job.with_values(values), data)
        metrics = trial.epoch()
        events += [TrialStarted(trial=number, values=values), TrialEpoch(trial=number, epoch=1, metrics=metrics)]
        if number < 2:
            save_state(TrialFolder(folder.place, number).best, trial.state())
    with Journal(folder.journal) as journal:
        recorder = Recorder(journal, results.uri, job.name, grace=0.0)
        recorder.start()
        for event in events:
            recorder.send(event)
        recorder.close()


@pytest.fixture
def evaluate(results: Results, cli: Callable[..., Answer]) -> Callable[..., Answer]:
    """`evaluate("once", "--split", "val")`, in that folder."""
    return lambda *arguments: cli("evaluate", *arguments, "--results", str(results.place), "--cpus", "1")


def test_the_split_of_the_training_gives_the_metrics_of_its_best_epoch(
    results: Results, evaluate: Callable[..., Answer]
) -> None:
    answer = evaluate("once", "--split", "val", "--format", "json")

    assert answer.code == 0, answer.err
    best = max(results.epochs("once"), key=lambda event: event.metrics["val/accuracy"])
    content = json.loads(answer.out)
    assert (content["name"], content["trial"], content["epoch"]) == ("once", None, best.epoch)
    assert content["metrics"] == content["evaluated"] == evaluated(dict(best.metrics))


def test_another_split_is_printed_beside_it_and_recorded_at_the_best_epoch(
    results: Results, evaluate: Callable[..., Answer]
) -> None:
    epoch = json.loads(evaluate("once", "--format", "json").out)["epoch"]

    answer = evaluate("once")

    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].startswith(f"once, the state of epoch {epoch}: test/accuracy=0.")
    assert lines[0].endswith("(270 images)")
    assert lines[2].split() == f"metric test val at epoch {epoch}".split()
    accuracy = next(line for line in lines if line.startswith("test/accuracy")).split()
    assert accuracy[1] in lines[0]
    assert "class  test/precision  test/recall  test/f1  test/average_precision" in lines
    assert lines[-1] == f"Recorded in MLflow, in the run once at step {epoch}."
    recorded = results.metrics("once")
    ((step, value),) = recorded["test/accuracy"]  # though it was measured twice
    assert (step, f"{value:.4f}") == (epoch, accuracy[1])
    assert len(recorded["val/accuracy"]) == 3


def test_the_metrics_of_the_epochs_are_not_recorded_again(results: Results, evaluate: Callable[..., Answer]) -> None:
    answer = evaluate("once", "--split", "val")

    assert answer.out.splitlines()[-1].startswith("Not recorded: val/... in MLflow are the metrics of the training's")
    assert len(results.metrics("once")["val/f1"]) == 3


def test_of_a_sweep_the_best_trial_is_taken_while_it_goes_on(results: Results, evaluate: Callable[..., Answer]) -> None:
    answer = evaluate("sweep", "--split", "val", "--format", "json")

    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["trial"] == 1
    assert content["metrics"] == evaluated(dict(results.epochs("sweep")[1].metrics))


def test_or_the_one_that_is_asked_for(results: Results, evaluate: Callable[..., Answer]) -> None:
    answer = evaluate("sweep", "--trial", "0")

    assert answer.code == 0, answer.err
    assert answer.out.startswith("sweep, trial 0, the state of epoch 1: test/accuracy=0.")
    assert [step for step, _ in results.metrics("trial-0")["test/accuracy"]] == [1]
    assert "test/accuracy" not in results.metrics("trial-2")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("twice", "{place}: no sweep or training twice. There are: once, sweep.\n"),
        ("../once", "NAME must be 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with"),
        ("sweep --trial 7", "sweep sweep has no trial 7. They are 0 to 2.\n"),
        (
            "sweep --trial 2",
            "sweep sweep: no best state of trial 2 is kept. They are kept of: 0, 1 (--trial N). search.keep_",
        ),
        ("once --split holdout", "{digits} has no split holdout. Name another with --split: train, val, test.\n"),
    ],
)
def test_what_is_not_there_is_told(
    arguments: str, said: str, results: Results, evaluate: Callable[..., Answer]
) -> None:
    answer = evaluate(*arguments.split())

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(said.format(place=results.place, digits=results.digits))


def test_a_data_set_that_is_not_what_was_trained_on_is_refused(
    results: Results, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    changed, place = tmp_path / "digits", tmp_path / "results"
    shutil.copytree(results.digits, changed)
    shutil.copytree(results.place / "once", place / "once")
    for file in ("origin.json", "job.yaml"):
        spec = place / "once" / file
        spec.write_text(spec.read_text().replace(str(results.digits), str(changed)))
    manifest = json.loads((changed / "manifest.json").read_text())
    (changed / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "f" * 64}))

    answer = cli("evaluate", "once", "--results", str(place))

    assert (answer.code, answer.out) == (2, "")
    before = manifest["fingerprint"][:16]
    assert answer.err.startswith(
        f"{changed} is not what was trained on: its fingerprint was {before}, now it is ffffffffffffffff."
    )


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:9", "No MLflow server answers at http://127.0.0.1:9: "),
        ("sqlite:///{place}/none.db", "{place}/none.db: no such file, so nothing has been recorded there yet."),
        ("sqlite:///{place}/other.db", "sqlite:///{place}/other.db has no run of trial 0."),
    ],
    ids=["no server", "no file", "no run"],
)
def test_the_figures_are_printed_where_they_can_not_be_recorded(
    uri: str, said: str, results: Results, evaluate: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri.format(place=results.place)
    if uri.endswith("other.db"):
        open_client(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    answer = evaluate("once")

    assert answer.code == 1
    assert answer.out.startswith("once, the state of epoch ")
    assert "test/accuracy" in answer.out
    assert answer.err.startswith(f"Not recorded in MLflow: {said.format(place=results.place)}")
    assert f"delivered by: trainyard train --resume once --results {results.place}\n" in answer.err


def test_a_model_of_ones_own_whose_code_has_moved(
    tmp_path: Path, digits: Path, cli: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "measured_nets.py").write_text(NETS)
    shutil.copy(JOB, folder / "job.yaml")
    settings = [f"data.path={digits}", "model={name: measured_nets:build}", "training.epochs=1"]
    assert cli("train", "mine/job.yaml", *settings, "--name", "own").code == 0
    folder.rename(tmp_path / "moved")

    refused = cli("evaluate", "own")
    answer = cli("evaluate", "own", "--code", "moved")

    assert refused.code == 2
    assert refused.err == (
        f"own: the code of measured_nets:build was in {folder}, which is gone. Name the folder where it is now: "
        "--code DIR.\n"
    )
    assert answer.code == 0, answer.err
    assert answer.out.startswith("own, the state of epoch 1: test/accuracy=0.")


def test_it_needs_no_ray(results: Results) -> None:
    arguments = ["evaluate", "once", "--results", str(results.place)]
    code = (
        f"import sys; from trainyard.cli.main import run; run({arguments!r}); "
        "print('loaded:', *[name for name in ('ray', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "loaded:"
