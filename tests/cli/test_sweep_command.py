"""`sweep` as people run it: a process of its own, with a Ray of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from trainyard.cli.main import main; main()"]
FILES = ["jobs/digits_cnn.yaml", "search_spaces/learning_rate.yaml"]


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_sweep_that_is_interrupted_is_resumed_to_its_end(place: Path) -> None:
    sweep = subprocess.Popen(
        [*COMMAND, "sweep", *FILES, "--trials", "4", "training.epochs=3", "search.scheduler=none", "--name", "tried"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(place / "results" / "tried" / "journal.jsonl", '"trial_epoch"')
    os.kill(sweep.pid, signal.SIGINT)
    out, err = sweep.communicate(timeout=120)

    assert sweep.returncode == 130, err
    assert err.splitlines()[-1] == "Interrupted. Resume with: trainyard sweep --resume tried"
    assert out.splitlines()[0].startswith("sweep tried: 4 trials, ")

    resumed = subprocess.run(
        [*COMMAND, "sweep", "--resume", "tried", "--format", "json"], capture_output=True, text=True, check=False
    )

    assert resumed.returncode == 0, resumed.stderr
    events = [json.loads(line) for line in resumed.stdout.splitlines()]
    assert [event["event"] for event in events[:2]] == ["plan", "sweep_started"]
    assert events[-1]["event"] == "summary"
    assert (events[-1]["state"], events[-1]["trials"]) == ("finished", {"finished": 4})


def wait_for(file: Path, text: str, seconds: float = 120.0) -> None:
    """Until the file has the text in it."""
    end = time.monotonic() + seconds
    while not (file.exists() and text in file.read_text()):
        assert time.monotonic() < end, f"no {text} in {file}"
        time.sleep(0.05)
