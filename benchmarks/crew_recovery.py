"""How long a crew is away: seconds from the death of a worker to the next training step of the whole crew.

    python benchmarks/crew_recovery.py [--workers 2] [--kills 4] [--breakdown] [--json FILE]

A `trainyard train` with a crew of so many workers, of which one after the other is killed with SIGKILL in the middle of
its training, each rank in turn. Beside it, after each kill: as many processes at a time as the crew has workers import
what a worker imports (Ray, Ray Train, torch and ours) and end: no crew can be back before that. The goal is on the
difference. --breakdown: one more run with a probe in all processes (probe/sitecustomize.py), and what each of them did
from the kill to the step.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common import (
    HERE,
    JOB,
    NOT_INHERITED,
    SIDES,
    header,
    import_digits,
    median,
    parser_of,
    report,
    temporary_folder,
    write_specs,
)
from timeline import read_notes, timeline

PATIENCE = 180.0
"""Seconds after which a crew that has not come, or come back, is given up."""

SETTLE = 3.0
"""Seconds of training before a worker is killed."""

IMPORTS = """
import ray, ray.train.v2._internal.execution.worker_group.worker
import trainyard.sweep.crews.member, trainyard.training.trial, trainyard.models.cnn
import ray.train
"""
"""What a worker's process has imported by its first step."""

GOAL = 10.0
"""Seconds beyond the imports."""


class Crew:
    """A training with a crew, and what its workers have noted."""

    def __init__(self, folder: Path, data: Path, workers: int, env: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        self._marks = folder / "marks"
        self._marks.touch()
        self._log = folder / "log.txt"
        job = {**JOB, "data": {"path": str(data)}, "resources": {"workers": workers}}
        job["model"] = {"name": "recovering:build", "marks": str(self._marks)}
        job["training"] = {**JOB["training"], "epochs": 100_000, "checkpoint_seconds": 1.0}
        job_file, _ = write_specs(folder, job, {})
        shutil.copy(SIDES / "recovering.py", folder)
        start = "from trainyard.cli.main import main; main()"
        command = [sys.executable, "-c", start, "train", str(job_file), "--results", str(folder / "results")]
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                [*command, "--cpus", str(workers)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**inherited, **env},
                start_new_session=True,
            )

    def wait_for(self, workers: int, *, after: float) -> list[dict[str, Any]]:
        """Of the first whole crew whose processes all began to train after that time, the marks."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            marks = [json.loads(line) for line in self._marks.read_text().splitlines()]
            new = {mark["rank"]: mark for mark in marks if mark["time"] > after}
            if len(new) == workers:
                return list(new.values())
            time.sleep(0.02)
        raise SystemExit(f"no crew came in {PATIENCE:.0f} s:\n{self._log.read_text()[-3000:]}")

    def end(self) -> None:
        """As Ctrl-C does; after a while, by force."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.contextmanager
def training(folder: Path, data: Path, workers: int, env: Mapping[str, str] | None = None) -> Iterator[Crew]:
    crew = Crew(folder, data, workers, env or {})
    try:
        yield crew
    finally:
        crew.end()


def kill(crew: Crew, marks: list[dict[str, Any]], rank: int) -> tuple[float, list[dict[str, Any]]]:
    """Seconds from the death of that rank to the first step of the last of the new workers, and their marks."""
    killed = time.time()
    os.kill(next(mark["pid"] for mark in marks if mark["rank"] == rank), signal.SIGKILL)
    new = crew.wait_for(len(marks), after=killed)
    return max(mark["time"] for mark in new) - killed, new


def import_seconds(workers: int) -> float:
    """Of so many processes at a time: from their start to the end of the last."""
    began = time.monotonic()
    processes = [subprocess.Popen([sys.executable, "-c", IMPORTS], stdin=subprocess.DEVNULL) for _ in range(workers)]
    if any(process.wait() for process in processes):
        raise SystemExit("the imports of a worker failed")
    return time.monotonic() - began


def measure(folder: Path, data: Path, options: argparse.Namespace) -> list[dict[str, float]]:
    rows = []
    with training(folder / "crew", data, options.workers) as crew:
        marks = crew.wait_for(options.workers, after=0)
        for number in range(options.kills):
            time.sleep(SETTLE)
            rank = number % options.workers
            away, marks = kill(crew, marks, rank)
            rows.append({"kill": number + 1, "rank": rank, "away s": away})
            print(f"rank {rank} killed: {away:.1f} s", flush=True)
    for row in rows:  # with no crew beside that trains
        row["imports s"] = import_seconds(options.workers)
        row["beyond s"] = row["away s"] - row["imports s"]
    return rows


def breakdown(folder: Path, data: Path, workers: int) -> None:
    """Prints what the processes did while the crew was away."""
    notes = folder / "notes"
    notes.mkdir(parents=True)
    env = {"BENCHMARK_PROBE": str(notes), "PYTHONPATH": str(HERE / "probe")}
    with training(folder / "probed", data, workers, env) as crew:
        marks = crew.wait_for(workers, after=0)
        time.sleep(SETTLE)
        killed = time.time()
        away, _ = kill(crew, marks, workers - 1)
    since = [note for note in read_notes(notes, given=killed, until=killed + away) if note.at > 0]
    print(f"\nwith the probe: {away:.1f} s\n" + "\n".join(timeline(since)), flush=True)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--breakdown", action="store_true")
    options = parser.parse_args()
    head = header()
    with temporary_folder() as folder:
        data = import_digits(folder)
        rows = measure(folder, data, options)
        if options.breakdown:
            breakdown(folder / "breakdown", data, options.workers)
    beyond = median([row["beyond s"] for row in rows])
    report(options, head, rows, {"seconds beyond the imports, median": {"value": beyond, "at_most": GOAL}})


if __name__ == "__main__":
    main()
