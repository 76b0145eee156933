"""How long one waits: seconds from the command to the first training step of the first trial.

    python benchmarks/time_to_first_step.py [--repeat 3] [--only ours1,recipe1] [--no-breakdown] [--json FILE]

ours1     trainyard sweep, one worker a trial      recipe1   Ray's documents (sides/recipe.py), one worker a trial
ours2     trainyard sweep, a crew of two workers   recipe2   Ray's documents, two workers a trial

The clock starts before the command's process does, and stops when the model is called for the first time to be trained
(sides/first_step.py). The sides alternate, as the machine's speed drifts. After the timed runs each side runs once more
with a probe in all of its processes (probe/sitecustomize.py), which gives the breakdown and costs next to nothing.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import (
    HERE,
    JOB,
    SIDES,
    SPACE,
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
from timeline import read_notes, timeline

TRIALS = 4
"""Of trainyard's sweeps, so that all slots start at once and get into each other's way, as in any sweep."""
TIMEOUT = 600.0
WORKERS = {"ours1": 1, "recipe1": 1, "ours2": 2, "recipe2": 2}
WHAT = {
    "ours1": "trainyard, one worker",
    "recipe1": "Ray's recipe, one worker",
    "ours2": "trainyard, a crew of two",
    "recipe2": "Ray's recipe, two workers",
}


def command(side: str, folder: Path, data: Path) -> list[str]:
    """What one would type, for a sweep whose model notes the time in `<folder>/mark`."""
    mark = str(folder / "mark")
    workers = WORKERS[side]
    if side.startswith("recipe"):
        settings = {"folder": folder, "data": digits_arrays(data), "trials": 1, "epochs": 1, "workers": workers}
        flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        return [sys.executable, str(SIDES / "recipe.py"), *flags, "--mark", mark]
    job = {**JOB, "data": {"path": str(data)}, "resources": {"workers": workers}}
    job["model"] = {"name": "first_step:build", "mark": mark}
    job["training"] = {**JOB["training"], "epochs": 1}
    files = write_specs(folder, job, {**SPACE, "search": {"sampler": "random", "trials": TRIALS}})
    shutil.copy(SIDES / "first_step.py", folder)
    start = "from trainyard.cli.main import main; main()"
    results = ["--results", str(folder / "results"), "--cpus", "2"]
    return [sys.executable, "-c", start, "sweep", *map(str, files), *results]


def measure(side: str, folder: Path, data: Path, env: Mapping[str, str] | None = None) -> tuple[float, float]:
    """When the command was given, and when the first step came."""
    folder.mkdir(parents=True)
    line = command(side, folder, data)
    given = time.time()
    run_command(line, folder / "log.txt", timeout=TIMEOUT, env=env)
    return given, float((folder / "mark").read_text())


def breakdown(side: str, folder: Path, data: Path) -> dict[str, Any]:
    """One run with the probe: the notes of its processes."""
    notes = folder / "notes"
    notes.mkdir(parents=True)
    path = [str(HERE / "probe"), os.environ.get("PYTHONPATH", "")]
    env = {"BENCHMARK_PROBE": str(notes), "PYTHONPATH": os.pathsep.join(filter(None, path))}
    given, first_step = measure(side, folder / "run", data, env)
    found = read_notes(notes, given=given, until=first_step)
    print(f"\n{WHAT[side]}, with the probe: {first_step - given:.1f} s\n" + "\n".join(timeline(found)), flush=True)
    return {"seconds": first_step - given, "notes": [note.as_dict() for note in found]}


def rows(seconds: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    return [
        {
            "side": WHAT[side],
            "runs": len(values),
            "median s": median(values),
            "fastest s": min(values),
            "slowest s": max(values),
        }
        for side, values in seconds.items()
        if values
    ]


def ratios(seconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """trainyard's median by that of the recipe with as many workers."""
    found = {}
    for ours, recipe, most in (("ours1", "recipe1", 0.5), ("ours2", "recipe2", 1.0)):
        if seconds.get(ours) and seconds.get(recipe):
            value = median(seconds[ours]) / median(seconds[recipe])
            found[f"{ours} / {recipe}"] = {"value": value, "at_most": most}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="timed runs of each side (default 3)")
    parser.add_argument("--only", type=names(tuple(WORKERS)), default=list(WORKERS), help="default all")
    parser.add_argument("--no-breakdown", action="store_true", help="leave the runs with the probe out")
    options = parser.parse_args(arguments)
    sides = options.only
    head = header()
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    failed: dict[str, str] = {}
    breakdowns: dict[str, Any] = {}
    with temporary_folder() as folder:
        data = import_digits(folder)
        for run in range(options.repeat):
            for side in sides:
                with attempt(f"{side} in run {run + 1}", failed):
                    given, first_step = measure(side, folder / f"{side}-{run}", data)
                    seconds[side].append(first_step - given)
                    print(f"{side}: {first_step - given:.1f} s", flush=True)
        for side in [] if options.no_breakdown else sides:
            with attempt(f"{side} with the probe", failed):
                breakdowns[side] = breakdown(side, folder / f"{side}-probe", data)
    measured = {"seconds": seconds, "breakdown": breakdowns}
    report_sides(options, head, rows(seconds), ratios(seconds), measured, failed)


if __name__ == "__main__":
    main()
