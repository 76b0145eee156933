"""What a second worker and a second slot bring on one machine, beside a `torchrun` script with the same training.

    python benchmarks/crew_scaling.py [--rounds 3] [--epochs 40] [--json FILE]

script 1     one process (sides/ddp.py), one thread
script 2     two processes, DistributedDataParallel on gloo: half of each batch on each
two scripts  two processes that know nothing of each other: what the machine gives at best
1 slot       trainyard, one trial in one slot
crew         trainyard, one trial on a crew of two workers
2 slots      trainyard, two trials in two slots

The same CNN on 3x32x32 noise, global batches of 128, one thread for each worker, an evaluation after each epoch. Images
are counted from one epoch's end to the next, so whatever happens between epochs is in it; the first fifteen of each
trial are not counted. The sides take turns, in rounds. Share: the rate of two, over twice the rate of one.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from common import (
    JOB,
    SIDES,
    SPACE,
    attempt,
    digits_arrays,
    header,
    median,
    names,
    parser_of,
    report_sides,
    run_command,
    run_side,
    temporary_folder,
    write_specs,
)

from trainyard.data.source import Example
from trainyard.data.writer import write_dataset

BATCH_SIZE = 128
TRAIN, VAL = 20 * BATCH_SIZE, 4 * BATCH_SIZE
SKIP = 15
"""Epochs of a trial that are not counted: beside the first ten or so the driver imports MLflow."""

WHAT = {
    "script 1": "torchrun, 1 process",
    "script 2": "torchrun, DDP on 2 processes",
    "two scripts": "torchrun, 2 processes apart",
    "1 slot": "trainyard, 1 slot",
    "crew": "trainyard, a crew of 2",
    "2 slots": "trainyard, 2 slots",
}
ONE_OF = {"script 2": "script 1", "two scripts": "script 1", "crew": "1 slot", "2 slots": "1 slot"}
"""The side that is half of each side of two."""

PEERS = {"crew": "script 2", "2 slots": "two scripts"}


def import_noise(path: Path) -> Path:
    """The images as a data set."""
    random = np.random.default_rng(0)
    examples = (
        Example(
            name=f"{row}.png",
            split="train" if row < TRAIN else "val",
            image=random.integers(0, 256, (32, 32, 3), dtype=np.uint8),
            label=row % 10,
        )
        for row in range(TRAIN + VAL)
    )
    write_dataset(path, examples, annotation="label", classes=tuple("0123456789"), source="noise")
    return path


def run(side: str, epochs: int, folder: Path, data: Path) -> list[list[float]]:
    """Run a side; when the epochs of its trials ended."""
    if side in ("script 1", "script 2", "two scripts"):
        return _script(side, epochs, folder, data)
    slots, workers = (2, 1) if side == "2 slots" else (1, 2) if side == "crew" else (1, 1)
    job = {**JOB, "data": {"path": str(data)}, "resources": {"workers": workers}}
    job["training"] = {"epochs": epochs, "batch_size": BATCH_SIZE, "seed": 0}
    search = {"sampler": "random", "scheduler": "none", "trials": slots, "max_concurrent": slots}
    write_specs(folder, job, {**SPACE, "search": search})
    return [trial["epochs"] for trial in run_side("ours", folder, cpus=2)["trials"]]


def _script(side: str, epochs: int, folder: Path, data: Path) -> list[list[float]]:
    folder.mkdir(parents=True)
    processes = 1 if side == "script 1" else 2
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    options = {"--folder": folder, "--data": digits_arrays(data), "--epochs": epochs, "--batch-size": BATCH_SIZE}
    script = [str(SIDES / "ddp.py"), *(str(part) for pair in options.items() for part in pair)]
    apart = ["--apart"] if side == "two scripts" else []
    run_command([*torchrun, *script, *apart], folder / "log.txt", timeout=600, env={"OMP_NUM_THREADS": "1"})
    return [trial["epochs"] for trial in json.loads((folder / "result.json").read_text())["trials"]]


def rate(trials: Sequence[Sequence[float]]) -> float:
    """Images trained per second by all trials together, while all of them train."""
    began, ended = max(ends[SKIP - 1] for ends in trials), min(ends[-1] for ends in trials)
    seconds = [
        [after - before for before, after in pairwise(ends) if before >= began and after <= ended] for ends in trials
    ]
    return sum(TRAIN / median(of_trial) for of_trial in seconds)


def shares(rates: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Of each side of two, its rate over twice that of its one: the median of the rounds."""
    return {
        two: median([ours / 2 / alone for ours, alone in zip(rates[two], rates[one], strict=True)])
        for two, one in ONE_OF.items()
        if rates.get(two) and len(rates[two]) == len(rates.get(one, ()))
    }


def rows_of(rates: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    of_ideal = shares(rates)
    return [
        {
            "side": WHAT[side],
            "rounds": len(values),
            "images/s": median(values),
            "slowest": min(values),
            "fastest": max(values),
            "share of the ideal": of_ideal.get(side),
        }
        for side, values in rates.items()
        if values
    ]


def ratios(rates: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    of_ideal = shares(rates)
    found: dict[str, dict[str, float]] = {}
    if rates.get("script 1") and rates.get("1 slot"):
        value = median(rates["1 slot"]) / median(rates["script 1"])
        found[f"{WHAT['1 slot']} / {WHAT['script 1']}"] = {"value": value, "at_least": 0.95}
    return found | {
        f"share of {WHAT[ours]} / share of {WHAT[theirs]}": {
            "value": of_ideal[ours] / of_ideal[theirs],
            "at_least": 0.95,
        }
        for ours, theirs in PEERS.items()
        if ours in of_ideal and theirs in of_ideal
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of all sides (default 3)")
    parser.add_argument("--epochs", type=int, default=40, help="of each trial (default 40)")
    parser.add_argument("--only", type=names(tuple(WHAT)), default=list(WHAT), help="default all")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.epochs < SKIP + 3:
        parser.error(f"--rounds must be at least 1 and --epochs at least {SKIP + 3}: the first ones are not counted")
    head = header()
    rates: dict[str, list[float]] = {side: [] for side in options.only}
    failed: dict[str, str] = {}
    with temporary_folder() as folder:
        data = import_noise(folder / "noise")
        for number in range(options.rounds):
            for side in options.only:
                with attempt(side, failed):
                    place = folder / f"{side.replace(' ', '-')}-{number}"
                    rates[side].append(rate(run(side, options.epochs, place, data)))
                    print(f"{side}: {rates[side][-1]:.0f} images/s", flush=True)
    report_sides(options, head, rows_of(rates), ratios(rates), {"rates": rates}, failed)


if __name__ == "__main__":
    main()
