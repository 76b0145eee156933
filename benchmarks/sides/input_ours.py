"""Batches as a trial gets them: rows gathered from columns in memory, augmented as one batch."""

from collections.abc import Iterator

import torch
from pictures import AMOUNT, BATCH_SIZE, DEGREES, SHIFT, ZOOM, epochs, measure, pictures
from random_data import manifest_of

from trainyard.data.split import MemorySplit
from trainyard.spec.job import Job
from trainyard.tasks.build import build_task
from trainyard.training.member import Member
from trainyard.training.splits import TrainingSplit


def job(case: str) -> Job:
    masks = case == "large"
    return Job.from_dict(
        {
            "name": "input",
            "task": "semantic_segmentation" if masks else "classification",
            "data": {"path": "random", "evaluate_split": "train"},
            "model": {"name": "unet" if masks else "cnn"},
            "loss": {"cross_entropy": {}},
            "augmentations": {
                "horizontal_flip": {"p": 0.5},
                "rotate": {"degrees": DEGREES},
                "translate": {"fraction": SHIFT},
                "scale": {"low": ZOOM[0], "high": ZOOM[1]},
                "brightness": {"amount": AMOUNT},
                "contrast": {"amount": AMOUNT},
                "saturation": {"amount": AMOUNT},
            },
            "optimizer": {"name": "adamw", "lr": 1e-3},
            "training": {"epochs": 1, "batch_size": BATCH_SIZE[case]},
            "objective": {"metric": "val/loss", "mode": "min"},
        }
    )


def batches(case: str) -> Iterator[int]:
    columns = pictures(case)
    annotation = "mask" if case == "large" else "label"
    wanted = {name: columns[name] for name in ("image", annotation)}
    facts = manifest_of({"train": columns}, annotation)
    task = build_task(job(case), facts, torch.device("cpu"))
    split = TrainingSplit(job(case), MemorySplit.of(wanted), classes=facts.classes, task=task, member=Member())
    for epoch in epochs():
        for batch in split.batches(epoch):
            assert batch["image"].dtype == torch.float32
            yield len(batch["image"])


if __name__ == "__main__":
    measure(batches)
