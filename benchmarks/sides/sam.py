"""Trials of SAM's mask decoder: by trainyard, embeddings made once, and by a script that makes them in each step."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

RATES = (1e-5, 3e-5, 1e-4)
"""The learning rates of the trials of either side."""

BATCH_SIZE = 2


def by_trainyard(options: argparse.Namespace) -> list[dict[str, float]]:
    """In a slot's process: the worker that a slot has, and embeddings as they are left on the disk and here."""
    import torch

    from trainyard.data.dataset import Dataset
    from trainyard.spec.job import Job
    from trainyard.sweep.slots.worker import Worker
    from trainyard.training.extraction.here import read_extracted_here
    from trainyard.training.member import Member

    torch.set_num_threads(options.threads)
    job = Job.from_dict(
        {
            "name": "sam",
            "task": "promptable_segmentation",
            "data": {"path": str(options.data)},
            "model": {"name": "sam", "architecture": options.architecture, "weights": str(options.weights)},
            "prompts": {"per": "mask"},
            "loss": {"binary_cross_entropy": {}, "dice": {"include_background": False}},
            "optimizer": {"name": "adam", "lr": 1e-5},
            "training": {"epochs": options.epochs, "batch_size": BATCH_SIZE},
            "objective": {"metric": "val/iou", "mode": "max"},
            "pictures": {"images": 0},
        }
    )
    dataset = Dataset.open(str(options.data))
    member = Member(device=options.device)
    worker = Worker(job, lambda: read_extracted_here(job, dataset, options.device), member=member, directory=None)
    trials = []
    for rate in RATES:
        started = time.perf_counter()
        worker.start({"optimizer.lr": rate})
        metrics = [worker.epoch().metrics for _ in range(options.epochs)][-1]
        worker.stop()
        trials.append({"seconds": time.perf_counter() - started, "iou": metrics["val/iou"]})
    return trials


def by_script(options: argparse.Namespace) -> list[dict[str, float]]:
    """As tutorials for fine-tuning SAM have it: the whole model in each step, its encoders without gradients.

    In its favour, its images are decoded, scaled and normalised already, and its boxes made.
    """
    import torch
    from torch.nn import functional
    from transformers import SamModel

    from trainyard.data.dataset import Dataset
    from trainyard.data.decode import decode_split
    from trainyard.models.sam import sam_config

    torch.set_num_threads(options.threads)
    device, dataset = options.device, Dataset.open(str(options.data))
    side = sam_config(options.architecture).vision_config.image_size
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    splits = {}
    for split in ("train", "val"):
        columns = decode_split(dataset, split)
        images = torch.from_numpy(columns["image"]) / 255
        masks = torch.from_numpy(columns["mask"]).bool()
        scaled = functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
        edges = torch.tensor([_box(mask) for mask in masks.numpy()])
        boxes = edges[:, None].float() * (side / images.shape[-1])
        splits[split] = [tensor.to(device) for tensor in ((scaled - mean) / std, boxes, masks.float())]

    def answers(model: SamModel, pixels: Any, boxes: Any, size: Any) -> Any:
        low = model(pixel_values=pixels, input_boxes=boxes, multimask_output=False).pred_masks[:, :, 0]
        return functional.interpolate(low, size=size, mode="bilinear")[:, 0]

    trials = []
    for rate in RATES:
        started = time.perf_counter()
        torch.manual_seed(0)
        model = SamModel(sam_config(options.architecture)).to(device)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("mask_decoder"))
        optimizer = torch.optim.Adam(model.mask_decoder.parameters(), lr=rate)
        pixels, boxes, masks = splits["train"]
        for _ in range(options.epochs):
            for rows in torch.randperm(len(pixels), device=device).split(BATCH_SIZE):
                found = answers(model, pixels[rows], boxes[rows], masks.shape[1:])
                true, likely = masks[rows], found.sigmoid()
                common = 2 * (likely * true).sum((1, 2))
                dice = 1 - common / (likely.sum((1, 2)) + true.sum((1, 2)))
                loss = functional.binary_cross_entropy_with_logits(found, true) + dice.mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                ious = [
                    ((answer > 0) & (true > 0)).sum() / ((answer > 0) | (true > 0)).sum()
                    for part in zip(*(tensor.split(BATCH_SIZE) for tensor in splits["val"]), strict=True)
                    for answer, true in zip(answers(model, part[0], part[1], part[2].shape[1:]), part[2], strict=True)
                ]
            iou = float(torch.stack(ious).mean())
        trials.append({"seconds": time.perf_counter() - started, "iou": iou})
    return trials


def _box(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--who", choices=["trainyard", "script"], required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    trials = by_trainyard(options) if options.who == "trainyard" else by_script(options)
    (options.folder / "result.json").write_text(json.dumps({"trials": trials}))


if __name__ == "__main__":
    main()
