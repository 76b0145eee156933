"""A process that trains imports no more than it needs: an import of seconds is paid by every slot and every worker."""

import subprocess
import sys

TRAIN = """
import sys
from pathlib import Path
import numpy as np
from trainyard.data.manifest import ImageFacts, Manifest, SplitFacts
from trainyard.spec.job import Job
from trainyard.data.columns import TrialData
from trainyard.training.trial import Trial

columns = {"image": np.zeros((32, 1, 8, 8), np.uint8), "label": np.arange(32) % 4}
split = SplitFacts(rows=32, files=(), class_counts=(8,) * 4, fingerprint="")
manifest = Manifest(
    source="", classes=tuple("abcd"), image=ImageFacts(channels=1, height=8, width=8),
    splits={"train": split, "val": split}, fingerprint="",
)
job = Job.from_dict({
    "name": "job", "task": "classification", "data": {"path": "x"}, "model": {"name": "cnn", "padding": "same"},
    "loss": {"cross_entropy": {}}, "augmentations": {"rotate": {"degrees": 10}, "noise": {"std": 0.1}},
    "optimizer": {"name": "adamw", "lr": 0.01}, "training": {"epochs": 2, "batch_size": 8, "clip_grad_norm": 1.0},
    "objective": {"metric": "val/f1", "mode": "max"},
})
trial = Trial(job, TrialData(manifest=manifest, train=columns, evaluate=columns))
trial.epoch()
trial.load_state(trial.state())
print(*sorted({name.partition(".")[0] for name in sys.modules} | {n for n in sys.modules if n == "torch._dynamo"}))
"""


def test_training_and_evaluating_import_no_costly_package() -> None:
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    loaded = set(done.stdout.split())
    costly = {"torch._dynamo", "torchvision", "matplotlib", "scipy", "sklearn", "pandas", "mlflow", "ray", "optuna"}
    assert loaded & costly == set()
    assert "torchmetrics" in loaded
