"""Whether a sweep's 2,000th trial costs more than its 100th: trials that do nothing, through the real driver.

    python benchmarks/sweep_scale.py [--trials 2000] [--samplers random,tpe] [--json FILE]

Everything is real but the slots' workers, which answer at once (sides/empty_slot.py): Tune, searcher, Optuna's study
in SQLite, journal, recorder, MLflow in SQLite. Cost: seconds from one end of a trial to the next, in windows. Beside
it the driver's CPU seconds per trial, which a busy machine hardly changes, its resident memory, how many ended trials
MLflow had not been told of when the last one ended, and how long it took then to stop and to record the rest.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import (
    JOB,
    attempt,
    header,
    import_digits,
    parser_of,
    report_sides,
    run_side,
    temporary_folder,
    write_specs,
)

SAMPLERS = ("random", "tpe")
PARAMETERS: dict[str, Any] = {
    "optimizer.lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "optimizer.weight_decay": {"type": "float", "low": 0.0, "high": 0.1},
    "model.dropout": {"type": "float", "low": 0.0, "high": 0.6},
    "training.clip_grad_norm": {"type": "float", "low": 0.1, "high": 10.0, "log": True},
}
SECONDS_PER_TRIAL = 2.0
"""A side that takes longer on average counts as hung."""


def run(sampler: str, trials: int, folder: Path, data: Path) -> dict[str, Any]:
    prepare(folder, data, sampler=sampler, trials=trials, slots=2)
    return run_side("empty_sweep", folder, every=window(trials), timeout=120 + SECONDS_PER_TRIAL * trials)


def prepare(folder: Path, data: Path, *, sampler: str, trials: int, slots: int) -> None:
    """For sides/empty_sweep.py: write its specs, and tell the slots, wherever they will be, how many they are."""
    training = {**JOB["training"], "epochs": 1, "clip_grad_norm": 1.0}
    job = {**JOB, "data": {"path": str(data)}, "training": training}
    search = {"sampler": sampler, "scheduler": "none", "trials": trials, "max_concurrent": slots}
    write_specs(folder, job, {"parameters": PARAMETERS, "search": search})
    arrived = folder / "arrived"
    arrived.mkdir()
    os.environ |= {"BENCHMARK_SLOTS": str(slots), "BENCHMARK_ARRIVED": str(arrived)}


def window(trials: int) -> int:
    """Over how many trials a cost is averaged: 100 of 2,000, fewer of fewer."""
    return max(2, min(100, trials // 10))


def cost(ended: Sequence[float], last: int, count: int) -> float:
    """Seconds per trial over the `count` trials up to the `last`."""
    return (ended[last - 1] - ended[last - 1 - count]) / count


def figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """`early` is around the trial that ends the first window (50 to 150 of 2,000), `late` the last window."""
    ended, looks = result["ended"], result["looks"]
    trials, count = len(ended), window(len(ended))
    early, late = cost(ended, count * 3 // 2, count), cost(ended, trials, count)
    cpu = {after["trials"]: (after["cpu"] - before["cpu"]) / count for before, after in pairwise(looks)}
    return {
        "trials": trials,
        "early": early,
        "late": late,
        "ratio": late / early,
        "windows": {last: cost(ended, last, count) for last in range(2 * count, trials + 1, count)},
        "cpu": cpu,
        "cpu_early": cpu[2 * count],
        "cpu_late": cpu[max(cpu)],
        "rss_mib": {look["trials"]: look["rss_mib"] for look in looks},
        "undelivered": {look["trials"]: look["undelivered"] for look in looks},
        "missing": result["missing"],
        "stopping": result["sweep_ended"] - ended[-1],
        "recording_tail": result["closed"] - result["sweep_ended"],
        "all_in": (result["closed"] - ended[0]) / trials,
    }


def rows_of(sides: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for sampler, values in sides.items():
        memory = {f"RSS at {trials}, MiB": values["rss_mib"].get(trials) for trials in (100, 1000, 2000)}
        rows.append(
            {
                "sampler": sampler,
                "trials": values["trials"],
                "early s/trial": values["early"],
                "late s/trial": values["late"],
                "ratio": values["ratio"],
                "driver CPU early": values["cpu_early"],
                "late": values["cpu_late"],
                "all-in s/trial": values["all_in"],
                **memory,
                "undelivered at the last end": values["undelivered"][max(values["undelivered"])],
                "missing after all": values["missing"],
                "stopping s": values["stopping"],
                "recording on s": values["recording_tail"],
            }
        )
    return rows


def ratios(sides: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for sampler, values in sides.items():
        found[f"{sampler}: cost at the end / cost early"] = {"value": values["ratio"], "at_most": 1.2}
        found[f"{sampler}: driver CPU at the end / early"] = {"value": values["cpu_late"] / values["cpu_early"]}
        memory = list(values["rss_mib"].values())
        found[f"{sampler}: memory at the end / memory at first"] = {"value": memory[-1] / memory[0]}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=2000, help="of each sampler (default 2000)")
    parser.add_argument("--samplers", default=",".join(SAMPLERS), help="default random,tpe")
    options = parser.parse_args(arguments)
    if options.trials < 20:
        parser.error("--trials must be at least 20")
    head = header()
    sides: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    with temporary_folder() as folder:
        data = import_digits(folder)
        for sampler in options.samplers.split(","):
            with attempt(sampler, failed):
                sides[sampler] = figures(run(sampler, options.trials, folder / sampler, data))
                costs = ", ".join(f"{last}: {1e3 * value:.0f}" for last, value in sides[sampler]["windows"].items())
                print(f"{sampler}, ms per trial up to trial {costs}", flush=True)
    report_sides(options, head, rows_of(sides), ratios(sides), {"sides": sides}, failed)


if __name__ == "__main__":
    main()
