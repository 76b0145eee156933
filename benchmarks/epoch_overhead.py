"""How much longer an epoch of Trial takes than the same epoch written by hand over tensors in memory.

    python benchmarks/epoch_overhead.py [--threads 1] [--pairs 100] [--format json]

Both train the same model on the same batches, evaluate it with the same metrics, and must end with the same weights,
bit for bit. Their epochs alternate, as the machine's speed drifts; what counts is the median ratio of the pairs, in CPU
time, which other work on the machine disturbs less than wall time. Goal: 1.03.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from random_data import CLASSES, random_data
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassPrecision, MulticlassRecall

from trainyard.data.rows import EpochOrder, training_rows
from trainyard.data.split import Split, TrialData
from trainyard.models.cnn import Cnn
from trainyard.spec.job import Job
from trainyard.training.seeds import Stream, derived_seed
from trainyard.training.splits import EVALUATION_FACTOR
from trainyard.training.trial import Trial

GOAL = 1.03


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained: a CNN on random images of a real data set's size."""

    name: str
    image: tuple[int, int, int]
    rows: int
    evaluate_rows: int
    batch_size: int
    padding: str

    def job(self, epochs: int) -> Job:
        return Job.from_dict(
            {
                "name": self.name,
                "task": "classification",
                "data": {"path": "random"},
                "model": {"name": "cnn", "padding": self.padding},
                "loss": {"cross_entropy": {}},
                "optimizer": {"name": "adamw", "lr": 1e-3},
                "training": {"epochs": epochs, "batch_size": self.batch_size},
                "objective": {"metric": "val/accuracy", "mode": "max"},
            }
        )

    def data(self) -> TrialData:
        return random_data(self.image, train=self.rows, evaluate=self.evaluate_rows)


CASES = (
    Case(name="digits", image=(1, 8, 8), rows=1257, evaluate_rows=270, batch_size=64, padding="same"),
    Case(name="cifar", image=(3, 32, 32), rows=2560, evaluate_rows=512, batch_size=128, padding="valid"),
)


class ByHand:
    """The loop one would write: float tensors in memory, torch's optimizer, torchmetrics."""

    def __init__(self, case: Case, data: TrialData, weights: dict[str, Tensor]) -> None:
        self.case = case
        self.images, self.labels = _tensors(data.train)
        self.val_images, self.val_labels = _tensors(data.evaluate)
        self.model = Cnn(image=case.image, outputs=CLASSES, padding=case.padding)  # type: ignore[arg-type]
        self.model.load_state_dict(weights)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(CLASSES, average="micro", validate_args=False),
                "top5_accuracy": MulticlassAccuracy(CLASSES, average="micro", top_k=5, validate_args=False),
                "f1": MulticlassF1Score(CLASSES, validate_args=False),
                "precision": MulticlassPrecision(CLASSES, validate_args=False),
                "recall": MulticlassRecall(CLASSES, validate_args=False),
            }
        )
        self.epochs = 0

    def epoch(self) -> dict[str, float]:
        self.epochs += 1
        torch.default_generator.manual_seed(derived_seed(0, Stream.STEPS, self.epochs, 0))  # as Trial seeds dropout
        order = EpochOrder(batch_size=self.case.batch_size, epoch=self.epochs, seed=0)
        rows = training_rows(self.case.rows, order)
        self.model.train()
        loss_sum, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for batch in torch.from_numpy(rows):
            images, labels = self.images[batch], self.labels[batch]
            self.optimizer.zero_grad()
            logits = self.model(images)
            loss = functional.cross_entropy(logits, labels)
            loss.backward()
            self.optimizer.step()
            loss_sum += loss.detach()
            right += (logits.detach().argmax(1) == labels).sum()
        metrics = {"train/loss": loss_sum.item() / len(rows), "train/accuracy": right.item() / rows.size}
        return metrics | self.evaluate()

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        self.model.eval()
        self.metrics.reset()
        loss_sum = 0.0
        size = EVALUATION_FACTOR * self.case.batch_size
        for images, labels in zip(self.val_images.split(size), self.val_labels.split(size), strict=True):
            logits = self.model(images)
            loss_sum += functional.cross_entropy(logits, labels).item() * len(labels)
            self.metrics.update(logits, labels)
        values = {f"val/{name}": value.item() for name, value in self.metrics.compute().items()}
        return {"val/loss": loss_sum / len(self.val_labels), **values}


def _tensors(split: Split) -> tuple[Tensor, Tensor]:
    columns = split.first(split.rows)
    return torch.from_numpy(columns["image"]).float() / 255, torch.from_numpy(columns["label"])


def measure(case: Case, pairs: int) -> dict[str, Any]:
    """Train both side by side; the ratio of their times, once it is sure that they did the same."""
    data = case.data()
    trial = Trial(case.job(epochs=pairs + 2), data)
    by_hand = ByHand(case, data, trial.state()["learner"]["model"])
    wall: dict[str, list[float]] = {"trial": [], "by_hand": []}
    cpu: dict[str, list[float]] = {"trial": [], "by_hand": []}
    for pair in range(pairs + 2):
        contestants: list[tuple[str, Trial | ByHand]] = [("trial", trial), ("by_hand", by_hand)]
        for name, contestant in contestants[:: 1 if pair % 2 else -1]:
            started, started_cpu = time.perf_counter(), time.process_time()
            metrics = contestant.epoch()
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - started_cpu)
            if name == "trial":
                ours = metrics
            else:
                theirs = metrics
    _require_same(trial, by_hand.model, ours, theirs)
    return {
        "case": case.name,
        "batch_size": case.batch_size,
        "steps": case.rows // case.batch_size,
        "pairs": pairs,
        "by_hand_ms": statistics.median(wall["by_hand"]) * 1e3,
        "trial_ms": statistics.median(wall["trial"]) * 1e3,
        "ratio_wall": _median_ratio(wall),
        "ratio": _median_ratio(cpu),
        "goal": GOAL,
    }


def _median_ratio(seconds: dict[str, list[float]]) -> float:
    """Without the first two pairs, which warm up: allocator, kernels chosen, metrics imported."""
    pairs = list(zip(seconds["trial"], seconds["by_hand"], strict=True))[2:]
    return statistics.median(ours / theirs for ours, theirs in pairs)


def _require_same(trial: Trial, model: nn.Module, ours: dict[str, float], theirs: dict[str, float]) -> None:
    for name, weight in trial.state()["learner"]["model"].items():
        assert torch.equal(weight, model.state_dict()[name]), f"{name} differs after the same training"
    for name, value in theirs.items():
        assert abs(ours[name] - value) < 1e-5, f"{name}: {ours[name]} and {value}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--threads", type=int, default=1, help="torch's threads, by default 1 as in a slot with one CPU"
    )
    parser.add_argument("--pairs", type=int, default=100, help="timed pairs of epochs (a fifth of it for cifar)")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = [measure(case, options.pairs if case.name == "digits" else max(3, options.pairs // 5)) for case in CASES]
    if options.format == "json":
        print(json.dumps({"torch": torch.__version__, "threads": options.threads, "results": results}, indent=2))
        return
    for result in results:
        print(
            f"{result['case']:8} {result['steps']} steps of {result['batch_size']}: "
            f"by hand {result['by_hand_ms']:.1f} ms, Trial.epoch {result['trial_ms']:.1f} ms; "
            f"median ratio {result['ratio']:.3f} (goal {GOAL}), in wall time {result['ratio_wall']:.3f}"
        )


if __name__ == "__main__":
    main()
