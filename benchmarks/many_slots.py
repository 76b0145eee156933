"""What the driver spends on a trial when it has many slots: trials that do nothing, on CPUs that are only counted.

    python benchmarks/many_slots.py [--trials 2000] [--sides 2,64,16x4] [--json FILE]

2      two slots on one node
64     64 slots on one node
16x4   16 nodes of four slots, beside a head without any: so many raylets on this machine

Everything is real but the slots' workers, which answer at once (sides/empty_slot.py). Ray is told that this machine
has as many CPUs as there are slots; each slot is a process of its own, some 200 MiB of memory. With trials that take no
time the driver is the bottleneck, so that the seconds from one end of a trial to the next are what it dispatches one
in. *Early* is the first window of trials after each slot has had two, *late* the last one. Beside it the driver's CPU
seconds per trial, which a busy machine hardly changes, its memory, and how long the slots took to come up.
"""

import argparse
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import (
    SideFailed,
    attempt,
    header,
    import_digits,
    parser_of,
    report_sides,
    run_side,
    temporary_folder,
)
from faults.raylets import Raylets, ray_folder, shared_memory
from sweep_scale import cost, prepare

SECONDS_PER_TRIAL, SECONDS_PER_SLOT = 2.0, 20.0
"""A side that takes longer on average counts as hung."""

RAY = {
    # A process for each CPU ahead of any need would be as many processes again.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
    # So many interpreters that start at a time on few cores are slow to report.
    "RAY_worker_register_timeout_seconds": "600",
}


@dataclass(frozen=True)
class Side:
    """So many nodes of so many slots. nodes: None for the Ray that a sweep starts by itself."""

    slots: int
    nodes: int | None = None

    @property
    def name(self) -> str:
        return f"{self.slots} slots" if self.nodes is None else f"{self.slots} slots on {self.nodes} nodes"


def side_of(text: str) -> Side:
    """`64`, or `16x4` for 16 nodes of four slots."""
    nodes, times, each = text.partition("x")
    try:
        numbers = [int(nodes), *([int(each)] if times else [])]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: slots, as 64, or nodes and the slots of each, as 16x4")
    return Side(numbers[0] * numbers[1], numbers[0]) if times else Side(numbers[0])


def sides_of(text: str) -> list[Side]:
    return [side_of(part) for part in text.split(",")]


@contextlib.contextmanager
def cluster_of(side: Side) -> Iterator[dict[str, str]]:
    """The options by which the sweep finds the nodes of a side."""
    if side.nodes is None:
        yield {}
        return
    with ray_folder() as ray, shared_memory() as shared:
        try:
            raylets = Raylets(Path(ray), Path(shared), nodes=side.nodes, cpus=side.slots // side.nodes)
        except RuntimeError as error:
            raise SideFailed(str(error)) from None
        with raylets:
            yield {"address": raylets.address}


def run(side: Side, trials: int, folder: Path, data: Path) -> dict[str, Any]:
    prepare(folder, data, sampler="random", trials=trials, slots=side.slots)
    timeout = SECONDS_PER_TRIAL * trials + SECONDS_PER_SLOT * side.slots
    with cluster_of(side) as options:
        return run_side("empty_sweep", folder, every=window(trials), cpus=side.slots, timeout=timeout, **options)


def window(trials: int) -> int:
    """Over how many trials a cost is averaged: 200 of 2,000, fewer of fewer."""
    return max(10, min(200, trials // 10))


def figures(result: Mapping[str, Any], slots: int) -> dict[str, Any]:
    ended, looks = result["ended"], result["looks"]
    trials, count = len(ended), window(len(ended))
    first = 2 * slots + count
    cpu = {after["trials"]: (after["cpu"] - before["cpu"]) / count for before, after in pairwise(looks)}
    steady = {end: seconds for end, seconds in cpu.items() if end - count >= 2 * slots}
    # The last trials of many slots end beside empty ones.
    early, late = cost(ended, first, count), cost(ended, trials - slots, count)
    return {
        "trials": trials,
        "slots_up": ended[0] - result["started"],
        "early": early,
        "late": late,
        "growth": late / early,
        "windows": {end: cost(ended, end, count) for end in range(first, trials - slots + 1, count)},
        "cpu": cpu,
        "cpu_early": steady[min(steady)],
        "cpu_late": steady[max(steady)],
        "rss_mib": {look["trials"]: look["rss_mib"] for look in looks},
        "undelivered": looks[-1]["undelivered"],
        "missing": result["missing"],
        "stopping": result["sweep_ended"] - ended[-1],
    }


def rows_of(sides: Mapping[Side, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "slots": side.slots,
            "nodes": side.nodes or 1,
            "trials": values["trials"],
            "slots up s": values["slots_up"],
            "early s/trial": values["early"],
            "late s/trial": values["late"],
            "growth": values["growth"],
            "driver CPU early": values["cpu_early"],
            "late": values["cpu_late"],
            "RSS at the end, MiB": list(values["rss_mib"].values())[-1],
            "undelivered at the last end": values["undelivered"],
            "missing after all": values["missing"],
            "stopping s": values["stopping"],
        }
        for side, values in sides.items()
    ]


def ratios(sides: Mapping[Side, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for side, values in sides.items():
        found[f"{side.name}: late / early"] = {"value": values["growth"], "at_most": 1.2}
        found[f"{side.name}: trials missing in MLflow"] = {"value": values["missing"], "at_most": 0.0}
    few = min(sides, key=lambda side: side.slots, default=Side(0))
    for side in sides:
        if side.slots > few.slots:
            value = sides[side]["cpu_late"] / sides[few]["cpu_late"]
            found[f"driver CPU of a trial, {side.name} / {few.name}"] = {"value": value, "at_most": 1.5}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=2000, help="of each side (default 2000)")
    parser.add_argument("--sides", type=sides_of, default="2,64,16x4", help="default 2,64,16x4")
    options = parser.parse_args(arguments)
    least = max(3 * side.slots + 3 * window(options.trials) for side in options.sides)
    if options.trials < least:
        parser.error(f"--trials must be at least {least} for so many slots: the first ones are not counted")
    head = header()
    os.environ.update(RAY)
    sides: dict[Side, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    with temporary_folder() as folder:
        data = import_digits(folder)
        for side in options.sides:
            with attempt(side.name, failed):
                place = folder / side.name.replace(" ", "-")
                sides[side] = figures(run(side, options.trials, place, data), side.slots)
                costs = ", ".join(f"{last}: {1e3 * value:.0f}" for last, value in sides[side]["windows"].items())
                print(f"{side.name}, ms per trial up to trial {costs}", flush=True)
    measured = {"sides": {side.name: values for side, values in sides.items()}}
    report_sides(options, head, rows_of(sides), ratios(sides), measured, failed)


if __name__ == "__main__":
    main()
