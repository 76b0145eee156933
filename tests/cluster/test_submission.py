"""Submitting to a real head, by the commands that a user gives."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

import trainyard
from trainyard.cluster.submission import STOP_SETTING
from trainyard.spec.job import Job
from trainyard.tracking.events import TrialEpoch
from trainyard.tracking.journal import Journal

from .head import Head, ray_head

pytestmark = [pytest.mark.slow, pytest.mark.own_cluster, pytest.mark.timeout(280)]

OWN_MODEL = """
import os
from pathlib import Path
import ray
from torch import nn
from blocks import block

def build(image, outputs, note):
    held = ray.get_runtime_context().get_assigned_resources().get("CPU", 0) if ray.is_initialized() else "no Ray"
    Path(note).write_text(f"{held} {os.getpid()}")
    return nn.Sequential(nn.Flatten(), block(image[0] * image[1] * image[2], outputs))
"""
BLOCKS = """
from torch import nn

def block(inputs, outputs):
    return nn.Linear(inputs, outputs)
"""
SPACE = """
parameters:
  optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}
search: {sampler: random, trials: 2}
"""


class User:
    """Sits in a folder with a job, a space and code, and gives commands to one cluster."""

    def __init__(self, home: Path, job: Job, digits: Path, address: str) -> None:
        self.home = home
        self.results = home / "shared" / "results"
        self.note = home / "shared" / "note"
        self.results.mkdir(parents=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW"))},
            "RAY_API_SERVER_ADDRESS": address,
        }
        changes = {
            "data.path": str(digits),
            "training.epochs": 2,
            "training.checkpoint_seconds": 0.0,
            "augmentations": {},
            "model": {"name": "nets:build", "note": str(self.note)},
        }
        (home / "jobs").mkdir()
        (home / "jobs" / "job.yaml").write_text(job.with_values(changes).to_yaml())
        (home / "jobs" / "nets.py").write_text(OWN_MODEL)
        (home / "jobs" / "blocks.py").write_text(BLOCKS)
        (home / "space.yaml").write_text(SPACE)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "trainyard", *arguments],
            cwd=self.home,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def gives(self, *arguments: str, code: int = 0) -> str:
        """What a command says, which must end with this code."""
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=200)
        assert process.returncode == code, said
        return said

    def epochs(self, name: str) -> list[int]:
        events = Journal.read(self.results / name / "journal.jsonl")
        return [event.epoch for event in events if isinstance(event, TrialEpoch)]

    def statuses(self) -> dict[str, str]:
        client = mlflow.MlflowClient(f"sqlite:///{self.results / 'mlflow.db'}")
        runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
        return {str(run.info.run_name): run.info.status for run in runs}


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "token"
    path.write_text("a-token-of-more-than-some-characters")
    return path


@pytest.fixture(scope="module")
def head(token: Path) -> Iterator[Head]:
    """One that asks for a token."""
    with ray_head(cpus=2, environment={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}) as started:
        yield started


@pytest.fixture
def user(head: Head, token: Path, tmp_path: Path, digits_job: Job, digits: Path) -> User:
    """Who has the token, and has not said that it is to be used."""
    user = User(tmp_path, digits_job, digits, head.address)
    user.environment["RAY_AUTH_TOKEN_PATH"] = str(token)
    return user


def test_a_followed_sweep_brings_its_code_and_ends_with_its_exit_code(user: User) -> None:
    command = ("submit", "sweep", "jobs/job.yaml", "space.yaml", "--id", "s-1")

    said = user.gives(*command, "--results", str(user.results), "--follow")

    assert "Submitted s-1." in said
    assert "2 trials ended (2 finished)" in said
    assert len(user.statuses()) == 3
    assert set(user.statuses().values()) == {"FINISHED"}
    # The trial held its CPU; the driver holds none.
    assert user.note.read_text().startswith("1.0 ")
    listed = json.loads(user.gives("jobs", "--format", "json"))
    (job,) = [job for job in listed if job["id"] == "s-1"]
    assert (job["state"], job["exit_code"]) == ("succeeded", 0)

    refused = user.gives(*command, code=2)
    assert refused.strip() == "the id s-1 is taken: a job of that id has succeeded. Choose another --id."


def test_a_stopped_training_has_told_mlflow_and_goes_on_when_it_is_resumed(user: User) -> None:
    results = ("--results", str(user.results))
    job = ("jobs/job.yaml", "training.epochs=600")
    follower = user.start("submit", "train", *job, "--name", "long", *results, "--env", f"{STOP_SETTING}=90", "-f")
    wait_for_epochs(user, follower, 3)

    # One worker of a training takes a CPU where the cluster has one, too. It may die there.
    held, process = user.note.read_text().split()
    assert held == "1.0"
    os.kill(int(process), signal.SIGKILL)
    wait_for_epochs(user, follower, len(user.epochs("long")) + 3)

    follower.send_signal(signal.SIGINT)
    said, _ = follower.communicate(timeout=30)
    assert follower.returncode == 130
    assert said.endswith("long goes on.\nFollow it:  trainyard logs long -f\nStop it:    trainyard stop long\n")
    assert "Traceback" not in said
    assert json.loads(user.gives("status", "long", "--format", "json"))["state"] == "running"

    assert user.gives("stop", "long") == "Stopping long; it has 90 s to tell MLflow.\nlong: stopped.\n"
    assert set(user.statuses().values()) == {"KILLED"}
    again = f"trainyard submit train {' '.join(job)} --resume long --env {STOP_SETTING}=90 --results"
    assert f"Interrupted. Resume with: {again}" in user.gives("logs", "long")

    before = user.epochs("long")
    resumed = user.gives("submit", "train", *job, "--resume", "long", *results, "-f")
    assert "Submitted long-2." in resumed
    assert user.epochs("long") == list(range(1, 601))
    assert len(before) < 600
    assert set(user.statuses().values()) == {"FINISHED"}


def test_a_stopped_sweep_has_told_mlflow_and_goes_on_by_the_command_in_its_log(user: User) -> None:
    (user.home / "jobs" / "words.txt").write_text("x")
    files = ("jobs/job.yaml", "space.yaml", "training.epochs=400")
    options = ("--results", str(user.results), "--include", "jobs/words.txt")
    follower = user.start("submit", "sweep", *files, "--name", "search", *options, "--follow")
    wait_for_epochs(user, follower, 6, "search")

    assert user.gives("stop", "search") == "Stopping search; it has 120 s to tell MLflow.\nsearch: stopped.\n"
    said, _ = follower.communicate(timeout=30)
    assert follower.returncode == 130
    assert len(user.statuses()) > 1, "only the sweep, and no trial"
    assert set(user.statuses().values()) == {"KILLED"}
    assert len(user.epochs("search")) < 800

    # The code of the first job is still there. It is not that of the second.
    (user.home / "jobs" / "nets.py").write_text(OWN_MODEL.replace('f"{held} ', 'f"anew {held} '))
    refused = user.gives("submit", "sweep", "--resume", "search", "--results", str(user.results), "--follow", code=2)
    assert "nets:build is a model of your own, and its code is shipped with its files only." in refused
    (command,) = re.findall(r"Interrupted\. Resume with: trainyard (submit sweep .*)\n", said)
    resumed = user.gives(*shlex.split(command), "--follow")

    assert "Submitted search-3." in resumed
    assert "2 trials ended (2 finished)" in resumed
    assert user.note.read_text().startswith("anew 1.0 ")
    assert len(user.epochs("search")) == 800
    assert set(user.statuses().values()) == {"FINISHED"}


def test_a_package_that_is_shipped_is_what_runs(user: User, tmp_path: Path) -> None:
    """Instead of the nodes' own."""
    changed = tmp_path / "changed"
    shutil.copytree(Path(trainyard.__file__).parent, changed / "trainyard")
    with (changed / "trainyard" / "__init__.py").open("a") as package:
        package.write('\n__version__ = "0.0.7"\n')
    (user.home / "jobs" / "nets.py").write_text(OWN_MODEL.replace("{held} ", "{trainyard.__version__} {held} "))
    with (user.home / "jobs" / "nets.py").open("a") as nets:
        nets.write("\nimport trainyard\n")
    user.environment["PYTHONPATH"] = str(changed)
    job = ("jobs/job.yaml", "--results", str(user.results), "--ship-package")

    said = user.gives("submit", "train", *job, "--name", "ours", "--follow")

    assert user.note.read_text().startswith("0.0.7 1.0 ")
    assert "Submitted ours." in said


def wait_for_epochs(user: User, process: subprocess.Popen[str], count: int, name: str = "long") -> None:
    """Until so many are in the journal."""
    end = time.monotonic() + 150
    journal = user.results / name / "journal.jsonl"
    while time.monotonic() < end and process.poll() is None:
        if journal.exists() and len(user.epochs(name)) >= count:
            return
        time.sleep(0.2)
    raise AssertionError(process.communicate()[0] if process.poll() is not None else "no epoch in time")


def test_without_the_token_of_the_cluster_nothing_is_told(user: User) -> None:
    user.environment["HOME"] = str(user.home)
    del user.environment["RAY_AUTH_TOKEN_PATH"]
    without = user.gives("jobs", code=2)
    user.environment["RAY_AUTH_TOKEN"] = "another-token-that-is-wrong"
    wrong = user.gives("jobs", code=2)

    asked = r"http://127\.0\.0\.1:\d+: the cluster wants a token \(.*\)\. Put its token into ~/\.ray/auth_token, or "
    assert re.match(asked, without)
    assert re.match(asked, wrong)
    assert "another-token" not in wrong


def test_a_cluster_without_tokens_needs_none(tmp_path: Path, digits_job: Job, digits: Path) -> None:
    with ray_head(cpus=1) as head:
        user = User(tmp_path, digits_job, digits, head.address)
        # No results are named, neither here nor there: the entry point says so, and the follower ends as it does.
        said = user.gives("submit", "train", "jobs/job.yaml", "--name", "lost", "--follow", code=2)

        assert "--results is missing: results would be in the folder that Ray deletes" in said
        assert user.gives("stop", "lost") == "lost had ended before: failed.\n"
        unknown = user.gives("logs", "lots", code=2)
        assert unknown == f"{head.address}: no job lots was submitted there. Did you mean lost?\n"
