"""A trial with every augmentation: it trains, on mixed labels too, and tells what it augmented with."""

from collections.abc import Callable
from typing import Any

from trainyard.data.split import TrialData
from trainyard.spec.augmentations import KINDS
from trainyard.spec.job import Job
from trainyard.training.trial import Trial

STATED: dict[str, dict[str, float]] = {
    "padding_crop": {"pixels": 1},
    "rotate": {"degrees": 10},
    "translate": {"fraction": 0.1},
    "scale": {"low": 0.9, "high": 1.1},
    "shear": {"degrees": 5},
    "brightness": {"amount": 0.2},
    "contrast": {"amount": 0.2},
    "saturation": {"amount": 0.2},
    "hue": {"amount": 0.1},
    "posterize": {"bits": 6},
    "solarize": {"threshold": 0.9},
    "sharpness": {"amount": 0.5},
    "noise": {"std": 0.02},
    "cutout": {"fraction": 0.2},
    "mixup": {"alpha": 0.2, "p": 0.5},
    "cutmix": {"alpha": 1.0, "p": 0.5},
}


def test_every_augmentation_is_trained_with_and_read_back(make_job: Callable[..., Job], data: TrialData) -> None:
    augmentations: dict[str, Any] = {name: STATED.get(name, {}) for name in KINDS}
    job = make_job(augmentations={**augmentations, "border": "reflect", "fill": 0.3})
    trial = Trial(job, data)
    metrics = trial.epoch()
    stated = {path: value for path, value in job.values().items() if path.startswith("augmentations.")}
    live = {path: value for path, value in trial.live_values().items() if path in stated}
    assert metrics["train/loss"] > 0
    assert live == stated
    assert len(stated) > 2 * len(KINDS)
