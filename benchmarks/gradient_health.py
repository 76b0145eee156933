"""What watching the gradients costs: the same training with and without, in one process.

    python benchmarks/gradient_health.py [--threads 1] [--pairs 40] [--json FILE]

Two trials of a case differ in `training.gradients.monitor` only, and must end with the same weights, bit for bit. Their
epochs alternate, as the machine's speed drifts; what counts is the median ratio of the pairs, in CPU time, which other
work on the machine disturbs less than wall time. The split to evaluate on is a few rows. Goal: 1.02. *By itself* is
what measuring takes without the steps around it, for the steps that are measured: the better figure on a busy machine.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from common import goal_lines, header, parser_of, table, write_json
from torch import nn

from trainyard.data.manifest import FileFacts, ImageFacts, Manifest, SplitFacts
from trainyard.data.split import MemorySplit, TrialData
from trainyard.models.build import build_model
from trainyard.spec.job import Job
from trainyard.training.gradients.measuring import LayerNorms
from trainyard.training.trial import Trial

CLASSES = 10
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
        train, evaluate = self._columns(self.steps * self.batch_size), self._columns(CLASSES)
        channels, *size = self.image
        manifest = Manifest(
            source="random",
            annotation="label",
            classes=tuple("0123456789"),
            image=ImageFacts(channels=channels, encoding="raw", smallest=size, largest=size),
            splits={"train": _facts(train), "val": _facts(evaluate)},
            fingerprint="",
        )
        return TrialData(manifest=manifest, train=MemorySplit.of(train), evaluate=MemorySplit.of(evaluate))

    def _columns(self, rows: int) -> dict[str, np.ndarray]:
        images = np.random.default_rng(0).integers(0, 256, (rows, *self.image), dtype=np.uint8)
        return {"image": images, "label": np.arange(rows) % CLASSES}


def _facts(columns: dict[str, np.ndarray]) -> SplitFacts:
    rows, channels = columns["image"].shape[:2]
    counts = tuple(np.bincount(columns["label"], minlength=CLASSES).tolist())
    return SplitFacts(
        rows=rows,
        files=(FileFacts(name="random.parquet", rows=rows),),
        class_images=counts,
        class_totals=counts,
        pixel_mean=(0.5,) * channels,
        pixel_std=(0.3,) * channels,
        fingerprint="",
    )


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
    """Train both side by side; the ratio of their times, once it is sure that they did the same."""
    data, count = case.data(), pairs + WARM_UP
    watched, alone = (Trial(case.job(count, monitor=monitor), data) for monitor in (True, False))
    wall: dict[Trial, list[float]] = {watched: [], alone: []}
    cpu: dict[Trial, list[float]] = {watched: [], alone: []}
    for pair in range(count):
        for trial in (watched, alone)[:: 1 if pair % 2 else -1]:
            started, started_cpu = time.perf_counter(), time.process_time()
            trial.epoch()
            wall[trial].append(time.perf_counter() - started)
            cpu[trial].append(time.process_time() - started_cpu)
    for name, weight in watched.state()["learner"]["model"].items():
        assert torch.equal(weight, alone.state()["learner"]["model"][name]), f"{name} differs after the same training"
    alone_seconds, measuring = statistics.median(cpu[alone][WARM_UP:]) / case.steps, by_itself(case)
    return {
        "case": case.name,
        "layers": sum(name.endswith("/norm") for name in watched.history[-1]),
        "steps": case.steps,
        "batch": case.batch_size,
        "pairs": pairs,
        "ms/step": alone_seconds * 1e3,
        "watched ms/step": statistics.median(cpu[watched][WARM_UP:]) / case.steps * 1e3,
        "measuring, us": measuring * 1e6,
        "by itself": 1 + measuring * _share(case) / alone_seconds,
        "ratio": _median_ratio(cpu[watched], cpu[alone]),
        "ratio (wall)": _median_ratio(wall[watched], wall[alone]),
    }


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
