"""A sweep on three raylets while workers, slots, raylets and the driver are killed, and what is true afterwards.

    python benchmarks/chaos.py [--trials 40] [--kills 12] [--seed 0] [--only solo,crew,elastic] [--json FILE]

solo      each trial in its slot's own process, three slots on three raylets
crew      each trial on a crew of two workers, two crews on three raylets with room for a third
elastic   each trial on a crew of one or two workers, on three raylets of one CPU; if asked for
shrinking each trial on a crew of two workers, two crews on four raylets of one CPU, of which two are killed (a node, a
          notice) and not replaced: the trials of both crews go on in one; if asked for

The sweep is the real command on a cluster of `ray.cluster_utils`. A plan that the seed draws (faults/plan.py) says what
is killed after how many epochs; raylets are replaced after some seconds, and a killed driver is resumed. Trials train
a small net that sleeps, so that three of them fit two cores. They all train the same, which makes one that went on from
another state than its own visible.

Afterwards every trial must be there once, with every epoch once and the same numbers, finished in the journal, Optuna,
MLflow and the last driver's Ray Tune alike; no process, actor, placement group or object in shared memory may be left.
Exit code 1 otherwise. Reported is by how much the next epoch of a trial that was hit came later than usual, by kind of
kill.
"""

import argparse
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import (
    JOB,
    goal_lines,
    header,
    import_digits,
    names,
    parser_of,
    table,
    temporary_folder,
    write_json,
    write_specs,
)
from faults import leftovers
from faults.audit import Expected, audit, read_runs, read_states, read_tuned
from faults.havoc import NAME, Havoc, Place, environment
from faults.losses import by_kind, lost_seconds, usual_epoch
from faults.plan import KINDS, make_plan
from faults.processes import adopt_orphans
from faults.raylets import Raylets, ray_folder, shared_memory

NODES = 3
EPOCHS = 10
STEPS = 4
PAUSE = 0.1
"""Seconds of a training step: an epoch takes `STEPS` times so long."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """cpus: of each raylet. slots: trials at a time. kinds: what there is to kill.

    spare: so many raylets may be killed, and none is replaced; None: any number, and each is replaced.
    """

    what: str
    workers: int | tuple[int, int]
    cpus: int
    slots: int
    kinds: tuple[str, ...]
    nodes: int = NODES
    spare: int | None = None


VARIANTS = {
    "solo": Variant(what="3 slots", workers=1, cpus=1, slots=3, kinds=("slot", "node", "notice", "driver")),
    "crew": Variant(
        what="2 crews of 2", workers=2, cpus=2, slots=2, kinds=("worker", "slot", "node", "notice", "driver")
    ),
    "elastic": Variant(
        what="2 crews of 1 to 2", workers=(1, 2), cpus=1, slots=2, kinds=("worker", "slot", "node", "notice", "driver")
    ),
    "shrinking": Variant(
        what="2 crews of 2, then 1", workers=2, cpus=1, slots=2, kinds=("node", "notice"), nodes=4, spare=2
    ),
}


def specs(variant: Variant, place: Place, data: Path, trials: int) -> None:
    """The job and the space of a variant, with the net beside them."""
    place.marks.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "faults" / "marking_net.py", place.folder)
    job = {
        **JOB,
        "data": {"path": str(data)},
        "model": {"name": "marking_net:build", "mark": 0.0, "marks": str(place.marks), "pause": PAUSE},
        "training": {
            "epochs": EPOCHS,
            "batch_size": 128,
            "steps_per_epoch": STEPS,
            "seed": 0,
            "checkpoint_seconds": 1.0,
        },
        "resources": {"workers": variant.workers},
    }
    mark = {"model.mark": {"type": "float", "low": 0.0, "high": 1.0}}
    search = {"sampler": "random", "scheduler": "none", "trials": trials, "max_concurrent": variant.slots}
    write_specs(place.folder, job, {"parameters": mark, "search": search})


def run(name: str, options: argparse.Namespace, place: Place, data: Path) -> dict[str, Any]:
    """Run a variant; what was measured, and the problems that were found."""
    variant = VARIANTS[name]
    specs(variant, place, data, options.trials)
    kinds = [kind for kind in variant.kinds if kind in options.kinds]
    kills = options.kills if variant.spare is None else min(options.kills, variant.spare)
    plan = make_plan(
        seed=options.seed,
        kills=kills if kinds else 0,
        kinds=kinds,
        epochs=options.trials * EPOCHS,
        epoch_seconds=STEPS * PAUSE,
        replaced=variant.spare is None,
    )
    problems: list[str] = []
    with ray_folder() as ray, shared_memory() as shared:
        with Raylets(Path(ray), Path(shared), nodes=variant.nodes, cpus=variant.cpus) as raylets:
            havoc = Havoc(place=place, raylets=raylets, plan=plan)
            havoc.run()
            ended = time.monotonic()
            problems += havoc.problems + leftovers.of_sweep(raylets)
            clean_after = time.monotonic() - ended
        problems += leftovers.of_cluster(Path(shared))
    events = place.events()
    expected = Expected(trials=options.trials, epochs=EPOCHS)
    states = read_states(place.sweep / "study.db", NAME)
    runs, status = read_runs(f"sqlite:///{place.results / 'mlflow.db'}")
    problems += audit(expected, events, read_tuned(place.tune), states, runs, status)
    lost = lost_seconds(events, havoc.struck)
    began = min((event.time for event in events if hasattr(event, "time")), default=0.0)
    return {
        "problems": problems,
        "plan": [asdict(kill) for kill in plan],
        "struck": [asdict(kill) for kill in havoc.struck],
        "lost_seconds": lost,
        "by_kind": by_kind(havoc.struck, lost),
        "usual_epoch": usual_epoch(events),
        "clean_after": clean_after,
        "seconds": max((event.time for event in events if hasattr(event, "time")), default=0.0) - began,
    }


def rows_of(sides: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"variant": VARIANTS[name].what, **row} for name, side in sides.items() for row in side["by_kind"]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=40, help="of each variant (default 40)")
    parser.add_argument("--kills", type=int, default=12, help="in each variant (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="of the plan (default 0)")
    parser.add_argument("--kinds", type=names(tuple(KINDS)), default=list(KINDS), help=f"default {','.join(KINDS)}")
    parser.add_argument("--only", type=names(tuple(VARIANTS)), default=["solo", "crew"], help="default solo,crew")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a new folder for what the sweeps write")
    options = parser.parse_args(arguments)
    if options.trials < 1 or options.kills < 0:
        parser.error("--trials must be at least 1 and --kills at least 0")
    if options.keep is not None and options.keep.exists():
        parser.error(f"--keep {options.keep}: is there already")
    adopt_orphans()
    environment()
    head = header()
    sides: dict[str, dict[str, Any]] = {}
    with temporary_folder() as folder:
        data = import_digits(folder)
        for name in options.only:
            print(f"{name}: {options.trials} trials, {options.kills} kills, seed {options.seed}", flush=True)
            place = Place(folder=(options.keep or folder).resolve() / name)
            sides[name] = run(name, options, place, data)
            wrong = sides[name]["problems"]
            well = f"  all trials are there once, nothing was left after {sides[name]['clean_after']:.0f} s"
            said = [f"  {problem}" for problem in wrong] or [well]
            print(*said, sep="\n", flush=True)
    if rows := rows_of(sides):
        print(f"\n{table(rows)}")
    ratios = {f"{name}: things that went wrong": _none_of(side["problems"]) for name, side in sides.items()}
    print(goal_lines(ratios))
    write_json(options, {**head, "sides": sides, "ratios": ratios})
    if any(side["problems"] for side in sides.values()):
        raise SystemExit(1)


def _none_of(problems: Sequence[str]) -> dict[str, float]:
    return {"value": float(len(problems)), "at_most": 0.0}


if __name__ == "__main__":
    main()
