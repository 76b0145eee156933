"""What a short trial costs beyond its training: the same 3-epoch digits trials by four sweeps, one after the other.

    python benchmarks/trial_turnaround.py [--trials 60] [--recipe-trials 3] [--only a,b,c,d] [--json FILE]

a   Ray's documents: a Tune function that runs a TorchTrainer for each trial (sides/recipe.py); a2 with two workers
b   plain Optuna, PyTorch and MLflow in one process (sides/plain.py); b1 with one thread instead of torch's choice
c   trainyard, one worker a trial: c1 with one slot, c2 with two
d   trainyard, a crew of two workers in one slot

Same model, data, batch size and range of learning rates (random); no augmentation, no scheduler, everything recorded
in MLflow on SQLite. In the steady state, after the first trials: the wall seconds from one end of a trial to the next,
times the slots, less the seconds of a trial's epochs, are its overhead. All-in: from the first training step until all
is recorded and the sweep is closed, by trial. Gap: from a trial's last epoch to the next one's first step, in one slot.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import (
    JOB,
    SPACE,
    attempt,
    digits_arrays,
    header,
    import_digits,
    median,
    parser_of,
    report_sides,
    run_side,
    temporary_folder,
    write_specs,
)

EPOCHS = 3
RECIPE_SECONDS = 240.0
"""So long a trial of the recipe may take before it counts as hung."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One way to run the sweep. skip: its first trials, which are not the steady state yet."""

    what: str
    script: str
    slots: int = 1
    workers: int = 1
    threads: int = 0
    skip: int = 3


SIDES = {
    "a": Side(what="Ray's recipe, 1 worker", script="recipe", skip=1),
    "a2": Side(what="Ray's recipe, 2 workers", script="recipe", workers=2, skip=1),
    "b": Side(what="Optuna + PyTorch + MLflow", script="plain"),
    "b1": Side(what="the same, 1 thread", script="plain", threads=1),
    "c1": Side(what="trainyard, 1 slot", script="ours"),
    "c2": Side(what="trainyard, 2 slots", script="ours", slots=2),
    "d": Side(what="trainyard, a crew of 2", script="ours", workers=2),
}
GROUPS = {"a": ("a",), "b": ("b", "b1"), "c": ("c1", "c2"), "d": ("d",)}
DEFAULT = "a,b,c,d"


def run(name: str, options: argparse.Namespace, folder: Path, data: Path) -> dict[str, Any]:
    """Run a side in a new folder; its timings."""
    side = SIDES[name]
    if side.script == "recipe":
        trials = options.recipe_trials
        timeout = RECIPE_SECONDS * trials
        return run_side(
            "recipe", folder, timeout=timeout, data=digits_arrays(data), trials=trials, workers=side.workers
        )
    if side.script == "plain":
        return run_side("plain", folder, data=digits_arrays(data), trials=options.trials, threads=side.threads)
    job = {**JOB, "data": {"path": str(data)}, "resources": {"workers": side.workers}}
    job["training"] = {**JOB["training"], "epochs": EPOCHS}
    search = {"sampler": "random", "scheduler": "none", "trials": options.trials, "max_concurrent": side.slots}
    write_specs(folder, job, {**SPACE, "search": search})
    return run_side("ours", folder, cpus=2)


def figures(result: Mapping[str, Any], *, slots: int, skip: int) -> dict[str, float]:
    """Seconds per trial; see the top of the file for what they mean."""
    trials = sorted(result["trials"], key=lambda trial: trial["ended"])
    # The very last trials of several slots run beside empty ones.
    counted = trials[skip : len(trials) - (slots - 1)]
    wall = (counted[-1]["ended"] - trials[skip - 1]["ended"]) / len(counted)
    training = statistics.fmean(trial["training"] for trial in counted)
    first = min(trial["first_step"] for trial in trials)
    last = trials[-1]["ended"]
    gaps = [after["first_step"] - before["last_epoch"] for before, after in pairwise(trials[skip - 1 :])]
    return {
        "trials": len(trials),
        "counted": len(counted),
        "wall": wall,
        "training": training,
        "overhead": wall * slots - training,
        "throughput": 1 / wall,
        "all_in": (result["closed"] - first) / len(trials),
        "all_in_overhead": ((result["closed"] - first) * slots - sum(t["training"] for t in trials)) / len(trials),
        "closing": result["closed"] - last,
        "recording_tail": result["closed"] - result.get("sweep_ended", last),
        **({"gap": median(gaps)} if slots == 1 else {}),
    }


def ratios(sides: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """What the benchmark is about, as far as the sides that ran allow."""
    found: dict[str, dict[str, float]] = {}
    for name in ("c1", "c2", "d"):
        if name in sides:
            goal = {} if name == "c2" else {"at_most": 0.15}
            found[f"overhead of {name}, s per trial"] = {"value": sides[name]["overhead"], **goal}
    for ours, theirs in (("c1", "a"), ("d", "a2" if "a2" in sides else "a")):
        if ours in sides and theirs in sides:
            value = sides[theirs]["overhead"] / max(sides[ours]["overhead"], 1e-6)
            found[f"overhead of {theirs} / overhead of {ours}"] = {"value": value, "at_least": 100.0}
    plain = [name for name in ("b", "b1") if name in sides]
    if "c2" in sides and plain:
        best = max(plain, key=lambda name: sides[name]["throughput"])
        value = sides["c2"]["throughput"] / sides[best]["throughput"]
        found[f"throughput of c2 / throughput of {best}"] = {"value": value, "at_least": 1.5}
    return found


def chosen(text: str) -> list[str]:
    """The sides that `--only` names; a group stands for its members."""
    names = [name for item in text.split(",") for name in GROUPS.get(item.strip(), (item.strip(),))]
    unknown = [name for name in names if name not in SIDES]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no side {unknown[0]}; there are {', '.join(SIDES)}")
    return list(dict.fromkeys(names))


def rows_of(sides: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    columns = {
        "trials": "trials",
        "wall": "wall s/trial",
        "training": "training s/trial",
        "overhead": "overhead s/trial",
        "gap": "gap s",
        "throughput": "trials/s",
        "all_in": "all-in s/trial",
        "all_in_overhead": "all-in overhead",
        "closing": "closing s",
    }
    return [
        {"side": f"{name} {SIDES[name].what}", **{title: values.get(key) for key, title in columns.items()}}
        for name, values in sides.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=60, help="of each side but the recipe (default 60)")
    parser.add_argument("--recipe-trials", type=int, default=3, help="of the recipe, about 50 s each (default 3)")
    parser.add_argument("--only", type=chosen, default=chosen(DEFAULT), metavar="SIDES", help=f"default {DEFAULT}")
    options = parser.parse_args(arguments)
    if options.trials < 6 or options.recipe_trials < 2:
        parser.error("--trials must be at least 6 and --recipe-trials at least 2: the first ones are not counted")
    head = header()
    sides: dict[str, dict[str, float]] = {}
    failed: dict[str, str] = {}
    with temporary_folder() as folder:
        data = import_digits(folder)
        for name in options.only:
            with attempt(name, failed):
                result = run(name, options, folder / name, data)
                sides[name] = figures(result, slots=SIDES[name].slots, skip=SIDES[name].skip)
                print(f"{name}: {sides[name]['wall']:.3f} s per trial", flush=True)
    report_sides(options, head, rows_of(sides), ratios(sides), {"sides": sides}, failed)


if __name__ == "__main__":
    main()
