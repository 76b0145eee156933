"""Every job that ships trains, on small made-up data of its kind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainyard.data.split import MemorySplit, TrialData
from trainyard.spec.job import Job
from trainyard.spec.load import load_job
from trainyard.spec.models.classifiers import Transfer
from trainyard.spec.models.detectors import FasterRcnn
from trainyard.spec.models.promptable import Sam
from trainyard.spec.models.svm import Svm
from trainyard.spec.tasks import STEPS_TO_TARGET, TASKS
from trainyard.training.extraction.extractor import extractors_of
from trainyard.training.kinds import build_trial
from trainyard.training.member import Member
from trainyard.training.svm.extraction import extract
from trainyard.training.svm.features import FeatureData
from trainyard.training.svm.split import FeatureSplit

JOBS = sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml"))
STEPS, BATCH = 2, 2

SMALLER = 4
"""Images are made so many times smaller each way than the job's: the whole ones take seconds."""


def decided(data: TrialData, positive: str, *, classes: int) -> TrialData:
    """With labels of so many classes: the positive one is that which scenes have most."""
    unseen = len(data.manifest.classes) - classes
    names = {2: (positive, "other"), 3: ("another", positive, "other")}[classes]
    counts = ("class_images", "class_totals")
    splits = {
        name: facts.model_copy(update={count: getattr(facts, count)[unseen:] for count in counts})
        for name, facts in data.manifest.splits.items()
    }
    manifest = data.manifest.model_copy(update={"classes": names, "splits": splits})
    train, evaluate = (
        MemorySplit.of({**split.chunks[0], "label": split.chunks[0]["label"] - unseen})
        for split in (data.train, data.evaluate)
        if isinstance(split, MemorySplit)
    )
    return TrialData(manifest=manifest, train=train, evaluate=evaluate)


def in_two_classes(data: TrialData) -> TrialData:
    """With masks of what is in front and what is behind it."""
    splits = {
        name: facts.model_copy(update={"class_images": facts.class_images[:2], "class_totals": facts.class_totals[:2]})
        for name, facts in data.manifest.splits.items()
    }
    manifest = data.manifest.model_copy(update={"classes": data.manifest.classes[:2], "splits": splits})
    train, evaluate = (
        MemorySplit.of({**split.chunks[0], "mask": np.where(split.chunks[0]["mask"] == 2, 1, split.chunks[0]["mask"])})
        for split in (data.train, data.evaluate)
        if isinstance(split, MemorySplit)
    )
    return TrialData(manifest=manifest, train=train, evaluate=evaluate)


def features_of(model: Svm, data: TrialData) -> FeatureData:
    """What an SVM is fitted to."""
    splits = []
    for split in (data.train, data.evaluate):
        rows = split.first(split.rows)
        features = extract(rows["image"], model.features, seed=0, batch_size=BATCH, device="cpu")
        splits.append(FeatureSplit([{"features": features, "label": rows["label"]}]))
    return FeatureData(manifest=data.manifest, train=splits[0], evaluate=splits[1], weights="")


def embedded(job: Job, data: TrialData) -> TrialData:
    """What a SAM is trained on whose embeddings are made once."""
    train, evaluate = (
        MemorySplit.of(extractor.extract(split.first(split.rows), 0, "cpu"))
        for extractor, split in zip(extractors_of(job), (data.train, data.evaluate), strict=True)
    )
    return TrialData(manifest=data.manifest, train=train, evaluate=evaluate)


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_shipped_job_trains_some_steps(path: Path, make_scenes: Callable[..., TrialData]) -> None:
    shorter = [f"training.batch_size={BATCH}", "training.epochs=1", "training.steps_per_epoch=null"]
    # Pretrained weights are not at hand, a backbone leaves nothing of smaller images, and wide dense layers take long.
    weights = [f"{name}=null" for name in load_job(path).values() if name.startswith("model.") and "weights" in name]
    tiny = ["model.architecture=tiny"] if isinstance(load_job(path).model, Sam) else []
    dense = ["model.box_head.widths=[32, 32]"] if isinstance(load_job(path).model, FasterRcnn) else []
    job = load_job(path, [*shorter, *weights, *tiny, *dense, "resources.workers=1"])
    smaller = 1 if isinstance(job.model, Transfer) else SMALLER
    stated = job.data.image_size
    height, width = stated if isinstance(stated, tuple) else (smaller * 32, smaller * 32)
    image = (job.data.channels or 3, height // smaller, width // smaller)
    data = make_scenes(TASKS[job.task].annotation, rows=(STEPS * BATCH, BATCH), image=image)
    if job.decision:
        data = decided(data, job.decision.positive, classes=2 if job.loss and job.loss.binary else 3)
    elif job.loss and job.loss.binary:
        data = in_two_classes(data)
    used = features_of(job.model, data) if isinstance(job.model, Svm) else data
    used = embedded(job, data) if isinstance(job.model, Sam) else used
    trial = build_trial(job, used, member=Member(), directory=job.directory)

    metrics = trial.epoch()

    assert {objective.metric for objective in job.objectives} - {STEPS_TO_TARGET} <= metrics.keys()
    assert trial.done == ("fitted" if job.model.fitted else "all epochs")
