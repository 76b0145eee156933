"""The training of `crew_scaling.py` as one writes it by hand for `torchrun`: DistributedDataParallel on gloo.

    torchrun --standalone --nproc-per-node 2 benchmarks/sides/ddp.py --folder F --data D.npz [--apart]

The data is loaded once, the global batches are the same on any number of workers, every worker evaluates its part. With
--apart each worker trains by itself on everything, beside the others: what the machine can do at best.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10


def build_model() -> nn.Module:
    """The CNN of the benchmark's job for 3x32x32 images, layer by layer."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(64 * 8 * 8, CLASSES),
    )


def load(file: Path, split: str) -> tuple[Tensor, Tensor]:
    with np.load(file) as columns:
        images, labels = columns[f"{split}_image"], columns[f"{split}_label"]
    return torch.from_numpy(images).float() / 255, torch.from_numpy(labels)


class Training:
    """One worker's part of it."""

    def __init__(self, data: Path, *, rank: int, workers: int, batch_size: int) -> None:
        self.rank, self.workers, self.batch_size = rank, workers, batch_size
        self.train, self.val = load(data, "train"), load(data, "val")
        torch.manual_seed(0)
        model = build_model()
        self.model = nn.parallel.DistributedDataParallel(model) if workers > 1 else model
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=1e-2)

    def epoch(self, number: int) -> dict[str, float]:
        """Train epoch `number` and evaluate; the metrics over all workers."""
        images, labels = self.train
        order = torch.from_numpy(np.random.default_rng([0, number]).permutation(len(images)))
        steps = len(images) // self.batch_size
        sums = torch.zeros(5, dtype=torch.float64)
        self.model.train()
        for rows in order[: steps * self.batch_size].view(steps, self.workers, -1)[:, self.rank]:
            target = labels[rows]
            self.optimizer.zero_grad()
            logits = self.model(images[rows])
            loss = functional.cross_entropy(logits, target)
            loss.backward()
            self.optimizer.step()
            sums[0] += loss.detach() / steps / self.workers
            sums[1] += (logits.detach().argmax(1) == target).float().mean() / steps / self.workers
        self._evaluate(sums)
        if self.workers > 1:
            dist.all_reduce(sums)
        seen = sums[4].item()
        return {
            "train_loss": sums[0].item(),
            "train_accuracy": sums[1].item(),
            "val_loss": sums[2].item() / seen,
            "val_accuracy": sums[3].item() / seen,
        }

    @torch.no_grad()
    def _evaluate(self, sums: Tensor) -> None:
        self.model.eval()
        images, labels = (column[self.rank :: self.workers] for column in self.val)
        for start in range(0, len(images), self.batch_size):
            target = labels[start : start + self.batch_size]
            logits = self.model(images[start : start + self.batch_size])
            sums[2] += functional.cross_entropy(logits, target, reduction="sum")
            sums[3] += (logits.argmax(1) == target).sum()
            sums[4] += len(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for results")
    parser.add_argument("--data", type=Path, required=True, help="the splits, a .npz file")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128, help="of all workers together")
    parser.add_argument("--apart", action="store_true", help="each worker by itself, on everything")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, workers = dist.get_rank(), dist.get_world_size()
    place = {"rank": 0, "workers": 1} if options.apart else {"rank": rank, "workers": workers}
    training = Training(options.data, batch_size=options.batch_size, **place)
    dist.barrier()
    ends = []
    for number in range(1, options.epochs + 1):
        training.epoch(number)
        ends.append(time.time())
    everyone: list[list[float]] = [[]] * workers
    dist.all_gather_object(everyone, ends)
    if rank == 0:
        trained = everyone if options.apart else everyone[:1]
        (options.folder / "result.json").write_text(json.dumps({"trials": [{"epochs": ends} for ends in trained]}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
