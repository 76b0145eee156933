"""A process that trains imports no more than it needs: an import of seconds is paid by every slot and every worker."""

import subprocess
import sys

TRAIN = """
import sys
import numpy as np
from trainyard.data.manifest import FileFacts, ImageFacts, Manifest, SplitFacts
from trainyard.spec.job import Job
from trainyard.data.split import MemorySplit, TrialData
from trainyard.sweep.slots.worker import Worker
from trainyard.training.member import Member

ROWS = 32
TOLD = {
    "label": {"label": np.arange(ROWS) % 4},
    "mask": {"mask": np.zeros((ROWS, 8, 8), np.uint8)},
    "boxes": {
        "boxes": np.tile(np.float32([1, 1, 5, 5]), (ROWS, 2, 1)), "box_labels": np.zeros((ROWS, 2), np.int64),
        "box_crowd": np.zeros((ROWS, 2), bool),
    },
}

def started(annotation, **sections):
    columns = {"image": np.zeros((ROWS, 1, 8, 8), np.uint8), **TOLD[annotation]}
    split = SplitFacts(
        rows=ROWS, files=(FileFacts(name="x", rows=ROWS),), class_images=(8,) * 4, class_totals=(8,) * 4,
        pixel_mean=(0,), pixel_std=(0,), fingerprint="",
    )
    manifest = Manifest(
        source="", annotation=annotation, classes=tuple("abcd"), splits={"train": split, "val": split}, fingerprint="",
        image=ImageFacts(channels=1, encoding="raw", smallest=(8, 8), largest=(8, 8)),
    )
    job = {
        "name": "job", "data": {"path": "x"}, "optimizer": {"name": "adamw", "lr": 0.01},
        "augmentations": {"rotate": {"degrees": 10}, "noise": {"std": 0.1}},
        "training": {"epochs": 2, "batch_size": 8, "clip_grad_norm": 1.0},
    }
    data = TrialData(manifest=manifest, train=MemorySplit.of(columns), evaluate=MemorySplit.of(columns))
    worker = Worker(Job.from_dict(job | sections), lambda: data, member=Member(), directory=None)
    worker.start({})
    return worker

def show_imports():
    print(*sorted({name.partition(".")[0] for name in sys.modules} | {n for n in sys.modules if n == "torch._dynamo"}))

started(
    "boxes", task="detection", model={"name": "centernet"}, loss={"heatmap": {}},
    objective={"metric": "val/map", "mode": "max"},
)
started(
    "mask", task="semantic_segmentation", model={"name": "unet"}, loss={"cross_entropy": {}, "focal": {}},
    objective={"metric": "val/miou", "mode": "max"},
).epoch()
show_imports()
worker = started(
    "label", task="classification", model={"name": "cnn", "padding": "same"}, loss={"cross_entropy": {}},
    objective={"metric": "val/f1", "mode": "max"},
)
worker.epoch()
worker.start({}, worker.state())
show_imports()
"""

COSTLY = {
    "torch._dynamo",
    "PIL",
    "torchmetrics",
    "transformers",
    "torchvision",
    "matplotlib",
    "scipy",
    "sklearn",
    "pandas",
    "mlflow",
    "ray",
    "optuna",
}


def test_training_imports_no_costly_package() -> None:
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for line in done.stdout.splitlines():
        assert set(line.split()) & COSTLY == set()
