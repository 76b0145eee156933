"""SVM trials on features of a frozen net, on one thread: by trainyard, and by a script that extracts in each trial."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

SETTINGS = [(C, gamma) for C in (1.0, 10.0) for gamma in (1e-4, 1e-3)]
"""The trials of either side."""

ARCHITECTURE = "resnet18"
BATCH_SIZE = 32


def by_trainyard(data: Path, weights: Path, side: int) -> list[dict[str, float]]:
    """In a slot's process: the worker that a slot has, and features as Ray's tasks leave them on the disk and here.

    What it needs is imported first, as the script does.
    """
    import sklearn.svm  # noqa: F401
    import torch
    import torchvision.models.feature_extraction  # noqa: F401

    from trainyard.data.dataset import Dataset
    from trainyard.spec.job import Job
    from trainyard.sweep.slots.worker import Worker
    from trainyard.training.extraction.here import read_extracted_here
    from trainyard.training.member import Member

    torch.set_num_threads(1)
    job = Job.from_dict(
        {
            "name": "svm",
            "task": "classification",
            "data": {"path": str(data), "image_size": [side, side]},
            "model": {"name": "svm", "features": {"architecture": ARCHITECTURE, "weights": str(weights)}},
            "training": {"epochs": 1, "batch_size": BATCH_SIZE},
            "objective": {"metric": "val/accuracy", "mode": "max"},
        }
    )
    dataset = Dataset.open(data)
    worker = Worker(job, lambda: read_extracted_here(job, dataset, "cpu"), member=Member(), directory=None)
    trials = []
    for C, gamma in SETTINGS:
        started = time.perf_counter()
        worker.start({"model.C": C, "model.gamma": gamma})
        accuracy = worker.epoch().metrics["val/accuracy"]
        worker.stop()
        trials.append({"seconds": time.perf_counter() - started, "accuracy": accuracy})
    return trials


def by_script(data: Path, weights: Path, side: int) -> list[dict[str, float]]:
    """With images that are decoded already, in its favour; the net is built and run in each trial."""
    import torch
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from torchvision.models import resnet18

    from trainyard.data.dataset import Dataset
    from trainyard.data.decode import decode_split
    from trainyard.data.shapes import DecodeSettings

    torch.set_num_threads(1)
    dataset, settings = Dataset.open(data), DecodeSettings(image_size=(side, side))
    splits = {split: decode_split(dataset, split, settings) for split in ("train", "val")}
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    @torch.inference_mode()
    def features(images: np.ndarray) -> np.ndarray:
        net = resnet18()
        net.load_state_dict(torch.load(weights, weights_only=True))
        net.fc = torch.nn.Identity()
        net.eval()
        batches = torch.from_numpy(images).split(BATCH_SIZE)
        return torch.cat([net((batch.float() / 255 - mean) / std) for batch in batches]).numpy()

    trials = []
    for C, gamma in SETTINGS:
        started = time.perf_counter()
        svm = make_pipeline(StandardScaler(), SVC(C=C, gamma=gamma, break_ties=True))
        svm.fit(features(splits["train"]["image"]).astype(np.float64), splits["train"]["label"])
        answers = svm.predict(features(splits["val"]["image"]).astype(np.float64))
        accuracy = float((answers == splits["val"]["label"]).mean())
        trials.append({"seconds": time.perf_counter() - started, "accuracy": accuracy})
    return trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--who", choices=["trainyard", "script"], required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--side", type=int, required=True)
    options = parser.parse_args()
    run: Any = by_trainyard if options.who == "trainyard" else by_script
    trials = run(options.data, options.weights, options.side)
    (options.folder / "result.json").write_text(json.dumps({"trials": trials}))


if __name__ == "__main__":
    main()
