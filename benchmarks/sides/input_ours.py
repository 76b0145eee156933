"""Batches as a trial gets them: rows gathered from columns in memory, augmented as one batch."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pictures import AMOUNT, BATCH_SIZE, CLASSES, DEGREES, SHIFT, ZOOM, epochs, on_one_core, pictures, rate

from trainyard.data.manifest import FileFacts, ImageFacts, Manifest, SplitFacts
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


def manifest(columns: Any, annotation: Any) -> Manifest:
    rows, channels, height, width = columns["image"].shape
    counts = (rows // CLASSES,) * CLASSES
    split = SplitFacts(
        rows=rows,
        files=(FileFacts(name="none", rows=rows),),
        class_images=counts,
        class_totals=counts,
        pixel_mean=(0.5,) * channels,
        pixel_std=(0.2,) * channels,
        fingerprint="",
    )
    return Manifest(
        source="memory",
        annotation=annotation,
        classes=tuple(map(str, range(CLASSES))),
        image=ImageFacts(channels=channels, encoding="raw", smallest=(height, width), largest=(height, width)),
        splits={"train": split},
        fingerprint="",
    )


def batches(case: str) -> Iterator[int]:
    columns = pictures(case)
    annotation = "mask" if case == "large" else "label"
    wanted = {name: columns[name] for name in ("image", annotation)}
    facts = manifest(columns, annotation)
    task = build_task(job(case), facts, torch.device("cpu"))
    split = TrainingSplit(job(case), MemorySplit.of(wanted), classes=facts.classes, task=task, member=Member())
    for epoch in epochs():
        for batch in split.batches(epoch):
            assert batch["image"].dtype == torch.float32
            yield len(batch["image"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--case", choices=["small", "large"], required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    on_one_core()
    torch.set_num_threads(1)
    result = rate(batches(options.case), options.seconds)
    (options.folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
