"""Inspection of made-up parts: grey noise, with a scratch or a stain on the defective ones, of which there are few."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trainyard.data.manifest import FileFacts, ImageFacts, Manifest, SplitFacts
from trainyard.data.split import MemorySplit, TrialData
from trainyard.spec.job import Job
from trainyard.training.trial import Trial

SIDE = 16
HEALTHY, SCRATCHED, STAINED = 0, 1, 2


def part(kind: int, random: np.random.Generator) -> np.ndarray:
    """uint8 (1, SIDE, SIDE)."""
    image = random.normal(120, 12, (SIDE, SIDE))
    if kind == SCRATCHED:
        image[random.integers(2, SIDE - 2)] -= random.uniform(40, 90)
    if kind == STAINED:
        top, left = random.integers(1, SIDE - 6, 2)
        image[top : top + 5, left : left + 5] += random.uniform(40, 80)
    return image.clip(0, 255).astype(np.uint8)[None]


def parts(kinds: list[int], classes: tuple[str, ...]) -> TrialData:
    """kinds: of the parts in turn. Training split of 300, evaluation of 120."""
    random = np.random.default_rng(0)
    splits, facts = [], {}
    for name, rows in (("train", 300), ("val", 120)):
        labels = random.permutation(np.resize(kinds, rows))
        counts = tuple(np.bincount(labels, minlength=len(classes)).tolist())
        splits.append(MemorySplit.of({"image": np.stack([part(kind, random) for kind in labels]), "label": labels}))
        facts[name] = SplitFacts(
            rows=rows,
            files=(FileFacts(name=f"{name}.parquet", rows=rows),),
            class_images=counts,
            class_totals=counts,
            pixel_mean=(0.5,),
            pixel_std=(0.1,),
            fingerprint="",
        )
    manifest = Manifest(
        source="tests",
        annotation="label",
        classes=classes,
        image=ImageFacts(channels=1, encoding="raw", smallest=(SIDE, SIDE), largest=(SIDE, SIDE)),
        splits=facts,
        fingerprint="",
    )
    return TrialData(manifest=manifest, train=splits[0], evaluate=splits[1])


BINARY = {
    "loss": {"binary_cross_entropy": {"class_weights": "inverse_frequency", "positive_weight": 2.0}},
    "decision": {"positive": "defective", "threshold": {"name": "precision", "least_recall": 0.9}},
    "objective": {"metric": "val/precision/defective", "mode": "max"},
}
MULTICLASS = {
    "loss": {"cross_entropy": {"class_weights": "inverse_frequency"}},
    "decision": {"positive": "scratched", "threshold": "f1"},
    "objective": {"metric": "val/f1/scratched", "mode": "max"},
}


def trained(make_job: Callable[..., Job], data: TrialData, **sections: Any) -> list[dict[str, float]]:
    job = make_job(
        model={"name": "cnn", "channels": [8, 16], "padding": "same", "dropout": 0.0},
        training={"epochs": 12, "batch_size": 20},
        **sections,
    )
    trial = Trial(job, data)
    while not trial.done:
        trial.epoch()
    return trial.history


@pytest.fixture(scope="module")
def few_defective() -> TrialData:
    return parts([HEALTHY] * 5 + [SCRATCHED], ("healthy", "defective"))


def test_a_single_logit_learns_to_find_scratches(make_job: Callable[..., Job], few_defective: TrialData) -> None:
    first, *_, last = trained(make_job, few_defective, **BINARY)
    share = 1 / 6
    assert last["val/recall/defective"] >= 0.9
    assert last["val/precision/defective"] > 2 * share
    assert last["val/average_precision/defective"] > max(0.6, first["val/average_precision/defective"])
    assert 0 < last["val/threshold"] < 1
    assert {f"val/{name}/healthy" for name in ("precision", "recall", "f1", "average_precision")} <= last.keys()


def test_mixed_samples_train_a_single_logit(make_job: Callable[..., Job], few_defective: TrialData) -> None:
    augmentations = {"mixup": {"alpha": 0.4, "p": 0.5}, "cutmix": {"alpha": 1.0, "p": 0.5}}
    history = trained(make_job, few_defective, **BINARY, augmentations=augmentations)
    assert history[-1]["train/loss"] < history[0]["train/loss"]


def test_several_kinds_of_defects_are_told_apart(make_job: Callable[..., Job]) -> None:
    data = parts([HEALTHY] * 6 + [SCRATCHED, STAINED], ("healthy", "scratched", "stained"))
    history = trained(make_job, data, **MULTICLASS)
    assert history[-1]["val/f1/scratched"] > 0.6
    assert history[-1]["val/average_precision/stained"] > 0.6
    assert history[-1]["val/f1"] > history[0]["val/f1"]
