"""A driver killed with SIGKILL at every kind of moment, and resumed: nothing lost, nothing doubled, nothing running."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard.tracking.events import TrialEpoch
from trainyard.tracking.journal import Journal

TRIALS, EPOCHS = 8, 3
HALF = 23
EPOCH_BY_EPOCH, TRIAL_BY_TRIAL = 0.0, 5.0


@pytest.fixture(scope="module")
def lives() -> Iterator[Callable[..., int]]:
    """Lives through a part of the sweep in a process of its own, and returns its exit status."""
    script = [sys.executable, str(Path(__file__).parent / "lives.py")]
    process = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout

    def live(**life: Any) -> int:
        assert process.stdin
        assert process.stdout
        print(json.dumps(life), file=process.stdin, flush=True)
        return int(process.stdout.readline())

    yield live
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def dies(call: str, number: int, *, after: bool = False) -> dict[str, Any]:
    return {"call": call, "number": number, "after": after}


def check(runs: dict[str, Any]) -> None:
    assert set(runs) == {"s", *(f"trial-{trial}" for trial in range(TRIALS))}
    assert {name: run.tags["trainyard.state"] for name, run in runs.items() if name != "s"} == {
        f"trial-{trial}": ("finished", "pruned", "failed", "diverged")[trial % 4] for trial in range(TRIALS)
    }
    for trial in range(TRIALS):
        run = runs[f"trial-{trial}"]
        assert run.history["loss"] == [(epoch, 1 / epoch) for epoch in range(1, EPOCHS + 1)]
        assert [epoch for epoch, _ in run.history["accuracy"]] == list(range(1, EPOCHS + 1))
        assert run.history["best/loss"] == [(EPOCHS, 1 / EPOCHS)]
        assert run.params == {"name": "j", "optimizer.lr": str(trial / 10)}
        assert run.status == ("FINISHED", "KILLED", "FAILED", "FAILED")[trial % 4]
    assert runs["s"].status == "FINISHED"


@pytest.mark.parametrize(
    ("death", "hold"),
    [
        (dies("create_run", 1), EPOCH_BY_EPOCH),
        (dies("create_run", 1, after=True), EPOCH_BY_EPOCH),
        (dies("create_run", 4, after=True), EPOCH_BY_EPOCH),
        (dies("create_run", 4, after=True), TRIAL_BY_TRIAL),
        (dies("log_batch", 3), EPOCH_BY_EPOCH),
        (dies("_set_tags", 3), EPOCH_BY_EPOCH),
        (dies("log_batch", 4, after=True), TRIAL_BY_TRIAL),
        (dies("set_terminated", 2), EPOCH_BY_EPOCH),
        (dies("set_terminated", 2, after=True), TRIAL_BY_TRIAL),
    ],
    ids=str,
)
def test_a_killed_sweep_is_resumed(
    lives: Callable[..., int], store: str, folder: Path, recorded: Any, death: dict[str, Any], hold: float
) -> None:
    life = {"uri": store, "journal": str(folder / "journal.jsonl"), "hold": hold}
    assert lives(**life, most=HALF, die=death) == -9
    assert lives(**life, most=None, die=None) == 0
    check(recorded())


@pytest.mark.parametrize(
    "death", [dies("log_artifact", 2), dies("log_artifact", 2, after=True), dies("set_tag", 2, after=True)], ids=str
)
def test_pictures_of_a_killed_sweep_are_all_there_in_the_end(
    lives: Callable[..., int], store: str, folder: Path, recorded: Any, death: dict[str, Any], tmp_path: Path
) -> None:
    life = {"uri": store, "journal": str(folder / "journal.jsonl"), "hold": TRIAL_BY_TRIAL, "pictures": True}
    assert lives(**life, most=HALF, die=death) == -9
    assert lives(**life, most=None, die=None) == 0
    check(recorded())
    places = {run.run_id: name for name, run in recorded().items()}
    files = sorted((tmp_path / "artifacts").rglob("*.png"))
    assert sorted((places[path.parts[-4]], path.read_text()) for path in files) == [
        (f"trial-{trial}", f"trial {trial}") for trial in range(TRIALS)
    ]


def test_a_sweep_killed_twice_is_resumed_twice(
    lives: Callable[..., int], store: str, folder: Path, recorded: Any
) -> None:
    life = {"uri": store, "journal": str(folder / "journal.jsonl"), "hold": 0.05}
    assert lives(**life, most=9, die=dies("create_run", 3, after=True)) == -9
    assert lives(**life, most=12, die=dies("log_batch", 3)) == -9
    assert lives(**life, most=None, die=None) == 0
    check(recorded())
    epochs = [event for event in Journal.read(folder / "journal.jsonl") if isinstance(event, TrialEpoch)]
    assert len(epochs) > TRIALS * EPOCHS, "no epoch was trained again, so the test shows nothing"


def test_resuming_what_is_complete_changes_nothing(
    lives: Callable[..., int], store: str, folder: Path, recorded: Any
) -> None:
    life = {"uri": store, "journal": str(folder / "journal.jsonl"), "hold": 0.0}
    assert lives(**life, most=None, die=None) == 0
    before = recorded()
    assert lives(**life, most=None, die=None) == 0
    check(recorded())
    assert {name: run.run_id for name, run in recorded().items()} == {name: run.run_id for name, run in before.items()}
