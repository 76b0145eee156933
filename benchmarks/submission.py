"""From submitting to the first training step on a running cluster: trainyard, and a bare script by `ray job submit`.

    python benchmarks/submission.py [--repeat 5] [--only train,script] [--timeline] [--json FILE]

train     trainyard submit train, one worker: checked, shipped, its trial in a process that holds the job's CPU
sweep     trainyard submit sweep, one trial
script    ray job submit of a hand-written loop (sides/submitted.py), trained by the entry point itself

All train the same model on the same digits. The clock starts before the command's process does, and stops when the
model is called for the first time to be trained. One head on loopback serves all; the sides alternate, and the first
round, which fills the caches of the disk, does not count. A probe in all processes (probe/sitecustomize.py) notes their
imports: the time in which no process of a side was importing is what submitting costs beyond them.
"""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import (
    HERE,
    JOB,
    NOT_INHERITED,
    SIDES,
    SPACE,
    SideFailed,
    attempt,
    digits_arrays,
    header,
    import_digits,
    median,
    names,
    parser_of,
    report_sides,
    run_command,
    temporary_folder,
    write_specs,
)
from timeline import Note, read_notes, timeline

WHAT = {
    "train": "trainyard submit train",
    "sweep": "trainyard submit sweep",
    "script": "ray job submit of a script",
}
TIMEOUT = 300.0
MOST_SECONDS = 2.0
"""That `submit train` may take more than the script, beyond imports."""
PORTS = ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port")


@contextlib.contextmanager
def ray_head(notes: Path, log: Path) -> Iterator[str]:
    """A head with two CPUs on ports of loopback; yields the address of its dashboard."""
    # Above those of Ray's workers and below those that the kernel gives to whoever connects.
    ports = dict(zip(PORTS, random.Random().sample(range(20_000, 32_000), len(PORTS)), strict=True))
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    start = [*ray, "start", "--head", "--block", "--num-cpus", "2", "--object-store-memory", str(200 * 2**20)]
    options = ["--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1", "--disable-usage-stats"]
    command = [*start, *options, *(f"--{name}={port}" for name, port in ports.items())]
    process = subprocess.Popen(command, env=probed(notes), stdout=log.open("wb"), stderr=subprocess.STDOUT)
    try:
        _wait_for(ports["dashboard-port"], process)
        yield f"http://127.0.0.1:{ports['dashboard-port']}"
    finally:
        process.terminate()  # and the processes that it started with it
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            time.sleep(2)  # its agent comes up a moment later
            return
        time.sleep(0.2)
    raise SideFailed("the head did not start")


def probed(notes: Path) -> dict[str, str]:
    """The environment of the head and of the commands: the probe, and the Python of this process as `python`."""
    own = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    path = [str(Path(sys.executable).parent), own.get("PATH", "")]
    modules = [str(HERE / "probe"), own.get("PYTHONPATH", "")]
    return {
        **own,
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": os.pathsep.join(filter(None, modules)),
        "BENCHMARK_PROBE": str(notes),
        "RAY_AUTH_MODE": "disabled",
    }


def write_project(folder: Path, data: Path) -> None:
    """What the user has: a job, a space, and the model's file; and the files of the script."""
    job = {**JOB, "data": {"path": str(data)}, "model": {"name": "first_step:build", "mark": "none"}}
    job["training"] = {**JOB["training"], "epochs": 1}
    write_specs(folder, job, {**SPACE, "search": {"sampler": "random", "trials": 1}})
    shutil.copy(SIDES / "first_step.py", folder)
    (folder / "script").mkdir()
    for name in ("first_step.py", "loop.py", "submitted.py"):
        shutil.copy(SIDES / name, folder / "script")


def command(side: str, name: str, folder: Path, data: Path, mark: Path, address: str) -> list[str]:
    """What one would type in the project's folder. The same files in each run: an upload counts only in the first."""
    if side == "script":
        submit = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--no-wait", "--submission-id", name]
        script = ["python", "submitted.py", str(digits_arrays(data)), str(mark)]
        return [*submit, "--address", address, "--working-dir", str(folder / "script"), "--", *script]
    files = ["job.yaml"] if side == "train" else ["job.yaml", "space.yaml"]
    options = ["--name", name, "--results", str(folder / "results"), "--address", address]
    return [sys.executable, "-m", "trainyard", "submit", side, *files, f"model.mark={mark}", *options]


def measure(side: str, run: int, folder: Path, data: Path, notes: Path, address: str) -> tuple[float, list[Note]]:
    """Seconds from the command to the first step, and what the probe noted in between."""
    name = f"{side}-{run}"
    mark = folder / f"{name}.mark"
    line = command(side, name, folder, data, mark, address)
    given = time.time()
    process = subprocess.run(line, cwd=folder, env=probed(notes), capture_output=True, text=True, timeout=TIMEOUT)
    if process.returncode:
        raise SideFailed(process.stdout + process.stderr)
    log = folder / f"{name}.log"
    # Until it has ended, so that the next side has the machine to itself.
    follow = [sys.executable, "-m", "trainyard", "logs", name, "-f", "--address", address]
    run_command(follow, log, timeout=TIMEOUT)
    first_step = float(mark.read_text())
    found = [note for note in read_notes(notes, given=given, until=first_step) if note.at >= 0]
    return first_step - given, found


def importing(notes: Sequence[Note], until: float) -> float:
    """Seconds before `until` in which at least one process was importing. Idle workers of Ray's don't count."""
    spans = sorted(
        (note.at, min(until, note.at + (note.seconds if note.seconds is not None else until)))
        for note in notes
        if note.what.startswith("import ") and not note.process.startswith("idle worker")
    )
    total, reached = 0.0, 0.0
    for begun, ended in spans:
        total += max(0.0, ended - max(begun, reached))
        reached = max(reached, ended)
    return total


def rows(seconds: Mapping[str, Sequence[float]], others: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    return [
        {
            "side": WHAT[side],
            "runs": len(values),
            "median s": median(values),
            "fastest s": min(values),
            "slowest s": max(values),
            "beyond imports s": median(others[side]),
        }
        for side, values in seconds.items()
        if values
    ]


def ratios(seconds: Mapping[str, Sequence[float]], others: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """By pairs of one round, as the machine's speed drifts."""
    found: dict[str, dict[str, Any]] = {}
    for side in ("train", "sweep"):
        pairs = list(zip(seconds[side], seconds["script"], strict=False))
        beyond = list(zip(others[side], others["script"], strict=False))
        if not pairs:
            continue
        found[f"{side} / script"] = {"value": median([ours / script for ours, script in pairs])}
        found[f"{side} - script, s"] = {"value": median([ours - script for ours, script in pairs])}
        goal = {"at_most": MOST_SECONDS} if side == "train" else {}
        found[f"{side} - script beyond imports, s"] = {
            "value": median([ours - script for ours, script in beyond]),
            **goal,
        }
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument("--only", type=names(tuple(WHAT)), default=list(WHAT), help="default all")
    parser.add_argument("--timeline", action="store_true", help="print what the processes did in the last round")
    options = parser.parse_args(arguments)
    sides = options.only
    head = header()
    seconds: dict[str, list[float]] = {side: [] for side in WHAT}
    others: dict[str, list[float]] = {side: [] for side in WHAT}
    failed: dict[str, str] = {}
    with temporary_folder() as folder:
        data, notes = import_digits(folder), folder / "notes"
        notes.mkdir()
        write_project(folder, data)
        digits_arrays(data)
        with ray_head(notes, folder / "head.log") as address:
            for run in range(options.repeat + 1):
                for side in sides:
                    with attempt(f"{side} in round {run}", failed):
                        took, found = measure(side, run, folder, data, notes, address)
                        beyond = took - importing(found, took)
                        print(f"{side}: {took:.1f} s, {beyond:.1f} s beyond imports", flush=True)
                        if run:
                            seconds[side].append(took)
                            others[side].append(beyond)
                        if options.timeline and run == options.repeat:
                            print("\n".join(timeline(found)), flush=True)
    measured = {"seconds": seconds, "beyond imports": others}
    report_sides(options, head, rows(seconds, others), ratios(seconds, others), measured, failed)


if __name__ == "__main__":
    main()
