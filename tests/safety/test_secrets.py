"""A canary: secrets of the environment are nowhere in what a sweep leaves behind or prints."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainyard.errors import UsageError
from trainyard.tracking.uri import check_reachable

from ..tracking.servers import Server

CANARY = "c4n4ry"

SECRETS = {
    "AWS_ACCESS_KEY_ID": f"AKIA{CANARY}1",
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}2",
    "AWS_SESSION_TOKEN": f"{CANARY}3",
    "GOOGLE_APPLICATION_CREDENTIALS": f"/tmp/{CANARY}4.json",
    "HF_TOKEN": f"hf_{CANARY}5",
    "GITHUB_TOKEN": f"ghp_{CANARY}6",
    "MLFLOW_TRACKING_TOKEN": "",
    "MLFLOW_TRACKING_PASSWORD": f"{CANARY}7",
    "RAY_RUNTIME_ENV_SECRET": f"{CANARY}8",
    "SLURM_JOB_TOKEN": f"{CANARY}9",
    "DATABASE_URL": f"postgresql://me:{CANARY}10@host/db",
    "PYTHONHASHSEED_SECRET": f"{CANARY}11",
}

JOB = """
name: canary
task: classification
data: {path: DATA}
model: {name: cnn, channels: [4], padding: same}
loss: {cross_entropy: {weight: 1.0}}
optimizer: {name: adamw, lr: 1e-3}
training: {epochs: 1, batch_size: 256, steps_per_epoch: 1}
objective: {metric: val/accuracy, mode: max}
"""

SPACE = """
parameters: {optimizer.lr: {type: float, low: 1e-4, high: 1e-2}}
search: {sampler: random, trials: 2}
"""


def holding(folder: Path, text: str) -> list[str]:
    """The files below a folder with this text in their bytes or their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if text.encode() in path.read_bytes() or text in path.name]


def test_the_canary_is_found_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mlflow.db").write_bytes(b"\x00\x01" + CANARY.encode() + b"\x02")
    assert len(holding(tmp_path, CANARY)) == 1


@pytest.mark.slow
@pytest.mark.own_cluster
def test_no_secret_is_recorded_or_printed(digits: Path, tmp_path: Path) -> None:
    results, served, work = (tmp_path / name for name in ("results", "server", "work"))
    for folder in (served, work):
        folder.mkdir()
    (work / "job.yaml").write_text(JOB.replace("DATA", str(digits)))
    (work / "space.yaml").write_text(SPACE)
    for words in (["init", "-q"], ["remote", "add", "origin", f"https://me:{CANARY}12@host/a.git"]):
        subprocess.run(["git", *words], cwd=work, check=True)
    server = Server(f"sqlite:///{served / 'mlflow.db'}", served)
    server.start()
    try:
        _await_answer(server)
        environment = {
            **os.environ,
            **SECRETS,
            # The user of a proxy before MLflow; this server asks nobody who he is.
            "MLFLOW_TRACKING_URI": server.uri.replace("://", f"://me:{CANARY}13@"),
        }
        command = [sys.executable, "-m", "trainyard", "sweep", "job.yaml", "space.yaml", "--name", "s", "--cpus", "1"]
        ran = subprocess.run(
            [*command, "--results", str(results)],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    finally:
        server.kill()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    events = [json.loads(line) for line in (results / "s" / "journal.jsonl").read_text().splitlines()]
    assert {"sweep_started", "trial_ended"} <= {str(event.get("type", event.get("event"))) for event in events}
    assert holding(served, "canary"), "nothing was recorded, so nothing is proved"
    assert holding(results, CANARY) == []
    assert holding(served, CANARY) == []
    assert CANARY not in ran.stdout + ran.stderr


def _await_answer(server: Server) -> None:
    end = time.monotonic() + 90
    while True:
        try:
            return check_reachable(server.uri)
        except UsageError:
            assert time.monotonic() < end, "the server does not come up"
            time.sleep(0.2)
