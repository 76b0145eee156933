"""Sweeps and trainings whose results are in a bucket, by the commands that people type; a server that answers as S3."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from pyarrow.fs import FileSystem

from trainyard.cli.request import new_sweep
from trainyard.cli.running import opened
from trainyard.data import location as location_module
from trainyard.data.location import Location
from trainyard.errors import DataError, RunError, UsageError
from trainyard.spec.training import Objective
from trainyard.sweep.results.bests import Bests
from trainyard.sweep.results.checkpoints import TrialFolder, keep_only
from trainyard.sweep.results.claim import Claim
from trainyard.tracking.client import open_client, search_experiments, search_runs
from trainyard.tracking.events import SweepEnded, TrialEnded, TrialEpoch
from trainyard.tracking.journal import Journal
from trainyard.training.checkpoint import load_state, save_state
from trainyard.training.pictures import Drawn

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
JOB, SPACE = ROOT / "jobs" / "digits_cnn.yaml", ROOT / "search_spaces" / "digits.yaml"


@dataclass
class Lab:
    """A machine with its disk, a bucket and an MLflow database; what `trainyard` is run in."""

    home: Path
    digits: Path
    results: Location

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "MLFLOW_TRACKING_URI": self.uri,
            "XDG_STATE_HOME": str(self.home / "state"),
            "RAY_TMPDIR": str(self.home),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "trainyard", *arguments, "--results", str(self.results)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> str:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=170)
        assert process.returncode == 0, out + err
        return out

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.home}/mlflow.db"

    def new(self, verb: str, name: str, *more: str, space_file: Path = SPACE) -> list[str]:
        space = [str(space_file)] if verb == "sweep" else []
        data = [] if any(word.startswith("data.path=") for word in more) else [f"data.path={self.digits}"]
        settings = [*data, "training.checkpoint_seconds=0"]
        return [verb, str(JOB), *space, *settings, "--name", name, *more]

    def lose_disk(self, name: str) -> None:
        """All but what says that the machine's earlier driver is dead: another machine waits for a minute."""
        for file in self.disk(name).iterdir():
            if file.name != "driver.lock":
                shutil.rmtree(file) if file.is_dir() else file.unlink()

    def disk(self, name: str) -> Path:
        (folder,) = (self.home / "state" / "trainyard").glob(f"*/{name}")
        return folder

    def journal(self, name: str) -> Journal:
        (self.home / "journal.jsonl").write_bytes((self.results / name / "journal.jsonl").read_bytes())
        return Journal.read(self.home / "journal.jsonl")

    def files(self, name: str) -> list[str]:
        try:
            return [file.path for file in (self.results / name).walk() if file.size]
        except FileNotFoundError:  # nothing yet
            return []


@pytest.fixture(scope="module")
def lab(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        FileSystem.from_uri(f"s3://lab?{settings}&allow_bucket_creation=true")[0].create_dir("lab")
        home = Path(tmp_path_factory.mktemp("l", numbered=True))
        yield Lab(home=home, digits=digits, results=Location.of(f"s3://lab/results?{settings}"))
    server.stop()


def wait_until(true: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.2)


def kill(process: "subprocess.Popen[str]") -> None:
    """The driver, and Ray's processes with it, as with the machine."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def epochs(events: list[object]) -> Counter[tuple[int, int]]:
    return Counter((event.trial, event.epoch) for event in events if isinstance(event, TrialEpoch))


def logged(lab: Lab, name: str) -> Counter[tuple[int, int]]:
    """The epochs that MLflow knows of, with how often."""
    client = open_client(lab.uri)
    found: Counter[tuple[int, int]] = Counter()
    for run in search_runs(client, search_experiments(client), f"tags.`trainyard.sweep` = '{name}'"):
        if (trial := run.data.tags.get("trainyard.trial")) is not None:
            for point in client.get_metric_history(run.info.run_id, "val/accuracy"):
                found[int(trial), point.step] += 1
    return found


def test_a_state_is_damaged_there_as_on_a_disk(lab: Lab) -> None:
    place = lab.results / "states" / "last.pt"
    save_state(place, {"history": [{"val/loss": 0.5}]})
    assert load_state(place) == {"history": [{"val/loss": 0.5}]}
    place.write_bytes(place.read_bytes()[:100])
    with pytest.raises(RunError, match=r"^the checkpoint s3://lab/results/states/last\.pt.* is damaged"):
        load_state(place)


def test_a_bucket_that_takes_nothing_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location_module, "PAUSES", (0.01,))
    nowhere = Location.of(str(lab.results).replace("s3://lab/", "s3://no-such-lab/"))
    with pytest.raises(RunError, match=r"^can't write the checkpoint: can't reach s3://no-such-lab/.*; then resume\.$"):
        save_state(nowhere / "last.pt", {})
    with pytest.raises(RunError, match=r"^can't write what a trial goes on from: can't reach"):
        Bests(nowhere / "bests.json", Objective(metric="a", mode="max")).add(1, {"a": 1.0})
    assert Drawn.kept(nowhere) is None


def test_of_ended_trials_the_best_state_and_the_pictures_stay(lab: Lab) -> None:
    sweep = lab.results / "ended"
    for number in (0, 1):
        trial = TrialFolder(sweep, number)
        for place in (trial.last, trial.best, trial.bests, trial.pictures / "00001.png"):
            place.write_bytes(b"content")
    assert TrialFolder(sweep, 0).last_state() == b"content"
    assert TrialFolder(sweep, 2).last_state() is None

    assert keep_only(sweep, best=[1], ended=[0, 1]) == {1}

    left = ["trials/00000/pictures/00001.png", "trials/00001/best.pt", "trials/00001/pictures/00001.png"]
    assert lab.files("ended") == left


def test_a_claim_is_aged_by_the_clock_of_the_bucket(lab: Lab, tmp_path: Path) -> None:
    sweep = lab.results / "claimed"
    first, slept = Claim(sweep, tmp_path / "a"), []
    first.take()
    time.sleep(3)
    second = Claim(sweep, tmp_path / "b", sleep=lambda seconds: slept.append(seconds) or first.release())
    second.take()
    assert slept, "the first had been heard of less than a minute ago"
    second.release()
    assert lab.files("claimed") == []


def test_a_bucket_that_fails_while_a_sweep_is_opened_leaves_its_name_free(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    request = new_sweep([str(JOB), str(SPACE), f"data.path={lab.digits}"], 1, "unlucky", lab.results)
    write = Location.write_bytes

    def fails(self: Location, data: bytes) -> None:
        if self.scheme and self.name == "journal.jsonl":
            raise DataError("no route to host")
        write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Location, "write_bytes", fails)
        with pytest.raises(DataError, match="no route"), opened(request):
            pass
    assert not (lab.results / "unlucky").exists()

    with opened(request):
        with pytest.raises(UsageError, match="the name unlucky is taken"), opened(request):
            pass
        assert "job.yaml" in lab.files("unlucky"), "who is refused removes nothing"
    assert not (lab.results / "unlucky").exists()


def test_a_training_goes_on_where_another_machine_was_killed(lab: Lab) -> None:
    process = lab.start(*lab.new("train", "once", "training.epochs=30"))
    wait_until(lambda: "journal.jsonl" in lab.files("once"), process)
    kill(process)
    lab.lose_disk("once")
    last = lab.results / "once" / "trials" / "00000" / "last.pt"
    if last.exists():
        last.write_bytes(last.read_bytes()[:1000])  # damaged: its epochs are trained again, and not told again

    out = lab.run("train", "--resume", "once")

    assert "Best: val/accuracy=" in out
    assert epochs(lab.journal("once")) == Counter({(0, epoch): 1 for epoch in range(1, 31)})
    assert sorted(lab.files("once")) == ["job.yaml", "journal.jsonl", "origin.json", "trials/00000/best.pt"]
    assert len(load_state(lab.results / "once" / "trials" / "00000" / "best.pt")["history"]) > 0
    assert "Recorded in MLflow, in the run once at step " in lab.run("evaluate", "once")
    assert not list((lab.home / "state" / "trainyard").glob("*/*")), "nothing is left on the disk"


def test_a_sweep_goes_on_where_another_machine_was_killed(lab: Lab) -> None:
    process = lab.start(*lab.new("sweep", "many", "training.epochs=12", "--trials", "4", "--cpus", "2"))

    def under_way() -> bool:
        place = lab.results / "many" / "journal.jsonl"
        return place.exists() and any(isinstance(event, TrialEnded) for event in lab.journal("many"))

    wait_until(under_way, process)
    known = json.loads((lab.results / "many" / "driver.json").read_bytes())["process"]
    assert known.startswith(f"process {process.pid} on ")
    kill(process)
    lab.lose_disk("many")
    before = epochs(lab.journal("many"))

    lab.run("sweep", "--resume", "many", "--cpus", "2")

    events = lab.journal("many")
    after = epochs(events)
    assert set(after.values()) == {1}
    assert before.keys() <= after.keys(), "what was in the bucket stays"
    assert logged(lab, "many") == after, "MLflow has each epoch once"
    ends = {event.trial: event.state for event in events if isinstance(event, TrialEnded)}
    (lab.home / "study.db").write_bytes((lab.results / "many" / "study.db").read_bytes())
    study = optuna.load_study(study_name="many", storage=f"sqlite:///{lab.home}/study.db")
    told = {trial.number: trial.state.name for trial in study.get_trials()}
    assert set(ends) == set(told) == set(range(4))
    assert told == {trial: "COMPLETE" if state == "finished" else "PRUNED" for trial, state in ends.items()}
    assert [event.state for event in events if isinstance(event, SweepEnded)] == ["finished"]
    kept = [file for file in lab.files("many") if file.startswith("trials/")]
    assert kept
    assert all(file.endswith("best.pt") for file in kept)
    assert not [file for file in lab.files("many") if file.startswith(("tune", "crews", "driver", "probe"))]


def test_a_crew_writes_to_the_bucket(lab: Lab) -> None:
    lab.run(*lab.new("train", "crew", "training.epochs=2", "resources.workers=2", "--cpus", "2"))

    assert epochs(lab.journal("crew")) == Counter({(0, 1): 1, (0, 2): 1})
    assert "trials/00000/best.pt" in lab.files("crew")
    assert not [file for file in lab.files("crew") if file.startswith("crews")]


@pytest.mark.parametrize("loading", ["cached", "streamed"])
def test_a_crew_trains_on_what_is_in_the_bucket_as_on_the_same_on_a_disk(lab: Lab, loading: str) -> None:
    place = Location.of(str(lab.results).replace("lab/results", "lab/digits"))
    for file in lab.digits.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    settings = ["training.epochs=2", "resources.workers=2", f"data.loading={loading}", "--cpus", "2"]
    names = {f"far-{loading}": str(place), f"near-{loading}": str(lab.digits)}
    for name, path in names.items():
        lab.run(*lab.new("train", name, f"data.path={path}", *settings))

    far, near = (
        [
            event.metrics[metric]
            for event in lab.journal(name)
            if isinstance(event, TrialEpoch)
            for metric in ("train/loss", "val/loss")
        ]
        for name in names
    )
    assert far == pytest.approx(near, rel=1e-4)
    assert len(far) == 4


def test_a_population_exchanges_its_states_through_the_bucket(lab: Lab) -> None:
    space = lab.home / "population.yaml"
    space.write_text(
        "parameters: {optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}}\n"
        "search: {sampler: random, trials: 3, scheduler: {name: pbt, interval: 2, quantile: 0.5}}\n"
    )
    lab.run(*lab.new("sweep", "population", "training.epochs=6", "--cpus", "1", space_file=space))

    events = lab.journal("population")
    assert epochs(events) == Counter({(trial, epoch): 1 for trial in range(3) for epoch in range(1, 7)})
    assert {event.state for event in events if isinstance(event, TrialEnded)} == {"finished"}
    kept = lab.files("population")
    assert not [file for file in kept if file.startswith(("tune", "crews"))]
    assert {file.rsplit("/")[-1] for file in kept if file.startswith("trials/")} == {"best.pt"}


def test_a_name_in_the_bucket_is_taken(lab: Lab) -> None:
    (lab.results / "taken" / "job.yaml").write_bytes(b"of an earlier one")
    process = lab.start(*lab.new("train", "taken"))
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert f"{lab.results / 'taken'}: the name taken is taken." in err


def test_without_a_server_for_mlflow_nothing_is_started(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "uri", "")
    process = lab.start(*lab.new("train", "no-server"))
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "a bucket can't hold MLflow's database. Name a server with MLFLOW_TRACKING_URI" in err
    assert not (lab.results / "no-server").exists()
