"""What watching the gradients costs: the same training with and without, in one process.

    python benchmarks/gradient_health.py [--threads 1] [--pairs 40] [--json FILE]

One trial of a case measures its layers in every other epoch: of two equal trials in one process, neither of them
watched, one was 2.4 % slower than the other all along, by where its tensors lay. What counts is the median ratio of
pairs of epochs, in CPU time, which other work on the machine disturbs less than wall time. Two more trials, one watched
and one not, must end with the same weights, bit for bit. The split to evaluate on is a few rows. Goal: 1.02. *By
itself* is what measuring takes without the steps around it, for the steps that are measured: the better figure on a
busy machine.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from common import goal_lines, header, parser_of, table, write_json
from random_data import CLASSES, random_data
from torch import nn

from trainyard.data.split import TrialData
from trainyard.models.build import build_model
from trainyard.spec.job import Job
from trainyard.training.gradients.measuring import LayerNorms
from trainyard.training.gradients.watch import Watch
from trainyard.training.trial import Trial

GOAL = 1.02
WARM_UP = 2
"""Pairs that don't count: allocator, kernels chosen, metrics imported, and a trial's first steps, all watched."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model on random images. epochs: one for each pair, of so many steps."""

    name: str
    model: dict[str, Any]
    image: tuple[int, int, int]
    steps: int
    batch_size: int
    share: float

    def job(self, epochs: int, *, monitor: bool) -> Job:
        return Job.from_dict(
            {
                "name": self.name.replace(" ", "-"),
                "task": "classification",
                "data": {"path": "random"},
                "model": self.model,
                "loss": {"cross_entropy": {}},
                "optimizer": {"name": "adamw", "lr": 1e-3},
                "training": {"epochs": epochs, "batch_size": self.batch_size, "gradients": {"monitor": monitor}},
                "objective": {"metric": "val/accuracy", "mode": "max"},
            }
        )

    def data(self) -> TrialData:
        return random_data(self.image, train=self.steps * self.batch_size, evaluate=CLASSES)


CASES = (
    Case(
        name="digits cnn",
        model={"name": "cnn", "padding": "same"},
        image=(1, 8, 8),
        steps=19,
        batch_size=64,
        share=1.0,
    ),
    Case(name="cifar cnn", model={"name": "cnn"}, image=(3, 32, 32), steps=40, batch_size=128, share=0.25),
    Case(
        name="residual net 20",
        model={"name": "residual_net", "depth": 20, "shortcuts": True},
        image=(3, 32, 32),
        steps=20,
        batch_size=16,
        share=0.25,
    ),
)
"""share: of the pairs, as large models take long."""


def measure(case: Case, pairs: int) -> dict[str, Any]:
    """The ratio of the times of epochs with and without, once it is sure that both do the same."""
    data = case.data()
    _require_same_weights(case, data)
    trial = Trial(case.job(2 * (pairs + WARM_UP), monitor=True), data)
    learner = trial._learner
    watches = {True: (learner.norms, trial._watch), False: (None, _unwatching(case, learner.precision.skips))}
    wall: dict[bool, list[float]] = {True: [], False: []}
    cpu: dict[bool, list[float]] = {True: [], False: []}
    layers = 0
    for pair in range(pairs + WARM_UP):
        for watched in (True, False)[:: 1 if pair % 2 else -1]:
            learner.norms, trial._watch = watches[watched]
            started, started_cpu = time.perf_counter(), time.process_time()
            metrics = trial.epoch()
            wall[watched].append(time.perf_counter() - started)
            cpu[watched].append(time.process_time() - started_cpu)
            layers = max(layers, sum(name.endswith("/norm") for name in metrics))
    alone_seconds, measuring = statistics.median(cpu[False][WARM_UP:]) / case.steps, by_itself(case)
    return {
        "case": case.name,
        "layers": layers,
        "steps": case.steps,
        "batch": case.batch_size,
        "pairs": pairs,
        "ms/step": alone_seconds * 1e3,
        "watched ms/step": statistics.median(cpu[True][WARM_UP:]) / case.steps * 1e3,
        "measuring, us": measuring * 1e6,
        "by itself": 1 + measuring * _share(case) / alone_seconds,
        "ratio": _median_ratio(cpu[True], cpu[False]),
        "ratio (wall)": _median_ratio(wall[True], wall[False]),
    }


def _unwatching(case: Case, skips: bool) -> Watch:
    """What a trial has that is not to be watched: it looks at the loss alone."""
    return Watch(case.job(1, monitor=False).training.gradients, None, steps_per_epoch=case.steps, skips=skips)


def _require_same_weights(case: Case, data: TrialData) -> None:
    watched, alone = (Trial(case.job(WARM_UP, monitor=monitor), data) for monitor in (True, False))
    for _ in range(WARM_UP):
        watched.epoch()
        alone.epoch()
    for name, weight in watched.state()["learner"]["model"].items():
        assert torch.equal(weight, alone.state()["learner"]["model"][name]), f"{name} differs after the same training"


def by_itself(case: Case, times: int = 200) -> float:
    """Seconds of CPU that a measured step takes more, its share of the reading included: without the step around it."""
    model = build_model(case.job(1, monitor=True).model, case.image, CLASSES, None)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    norms = LayerNorms(model, every_steps=1, steps_per_epoch=1)
    seconds = []
    for _ in range(times // 5):
        started = time.process_time()
        for step in range(5):
            norms.before_update(step, 1.0)
            norms.after_update()
        norms.read()
        seconds.append((time.process_time() - started) / 5)
    return statistics.median(seconds)


def _share(case: Case) -> float:
    """Of the steps that are measured, once the first ones are over."""
    settings = case.job(1, monitor=True).training.gradients
    norms = LayerNorms(nn.Linear(1, 1), every_steps=settings.every_steps, steps_per_epoch=case.steps)
    later = range(10 * case.steps, 20 * case.steps)
    return sum(map(norms.due, later)) / len(later)


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in list(zip(ours, theirs, strict=True))[WARM_UP:])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--threads", type=int, default=1, help="torch's threads, by default 1 as in a slot with one CPU"
    )
    parser.add_argument("--pairs", type=int, default=40, help="timed pairs of epochs (a quarter of it for large ones)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    head = header()
    rows = [measure(case, max(3, round(case.share * options.pairs))) for case in CASES]
    ratios = {row["case"]: {"value": row["ratio"], "at_most": GOAL} for row in rows}
    print("", table(rows), goal_lines(ratios), sep="\n\n")
    write_json(options, {**head, "threads": options.threads, "results": rows, "ratios": ratios})


if __name__ == "__main__":
    main()
