"""The digits trial as one writes it by hand: a loop over tensors in memory. Both peers train with it.

It reports the metrics that trainyard reports, computed in a few tensor operations: torchmetrics would cost the recipe
seconds of imports for every trial.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH_SIZE = 64
"""Of all workers together."""

CLASSES = 10


def build_model() -> nn.Module:
    """The CNN of the benchmark's job, layer by layer."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(256, CLASSES),
    )


def build_optimizer(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-2)


class Digits:
    """Both splits as float tensors, read from a file of numpy's that the benchmark wrote."""

    def __init__(self, file: Path) -> None:
        with np.load(file) as columns:
            self.train = _images(columns["train_image"]), torch.from_numpy(columns["train_label"])
            self.evaluate = _images(columns["val_image"]), torch.from_numpy(columns["val_label"])


def _images(columns: np.ndarray) -> Tensor:
    return torch.from_numpy(columns).float() / 255


def epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, digits: Digits, number: int, *, rank: int = 0, workers: int = 1
) -> dict[str, Any]:
    """Train epoch `number` (from 1) on this worker's share, evaluate; metrics, when it began and how long it took."""
    began, started = time.time(), time.perf_counter()
    images, labels = digits.train
    order = torch.from_numpy(np.random.default_rng([0, number]).permutation(len(images)))
    steps = len(images) // BATCH_SIZE
    batches = order[: steps * BATCH_SIZE].view(steps, workers, -1)[:, rank]
    model.train()
    loss_sum, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    for rows in batches:
        target = labels[rows]
        optimizer.zero_grad()
        logits = model(images[rows])
        loss = functional.cross_entropy(logits, target)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach()
        right += (logits.detach().argmax(1) == target).sum()
    train = {"train_loss": loss_sum.item() / steps, "train_accuracy": right.item() / batches.numel()}
    metrics = {**train, **evaluate(model, digits), "lr": optimizer.param_groups[0]["lr"]}
    return {**metrics, "began": began, "seconds": time.perf_counter() - started}


@torch.no_grad()
def evaluate(model: nn.Module, digits: Digits) -> dict[str, float]:
    model.eval()
    images, labels = digits.evaluate
    logits = model(images)
    pairs = torch.bincount(CLASSES * labels + logits.argmax(1), minlength=CLASSES**2).view(CLASSES, CLASSES).float()
    right, of_class, answered = pairs.diagonal(), pairs.sum(1), pairs.sum(0)
    top5 = (logits.topk(5).indices == labels[:, None]).any(1).float().mean()
    return {
        "val_loss": functional.cross_entropy(logits, labels).item(),
        "val_accuracy": (right.sum() / len(labels)).item(),
        "val_top5_accuracy": top5.item(),
        "val_f1": (2 * right / (of_class + answered).clamp(min=1)).mean().item(),
        "val_precision": (right / answered.clamp(min=1)).mean().item(),
        "val_recall": (right / of_class.clamp(min=1)).mean().item(),
    }
