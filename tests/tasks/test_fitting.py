"""Whether a data set fits a job is known from its manifest."""

from typing import Any

import pytest
import torch

from trainyard.data.manifest import Annotation, ImageFacts, Manifest, SplitFacts
from trainyard.errors import DataError
from trainyard.spec.job import Job
from trainyard.spec.tasks import TASKS
from trainyard.tasks.build import build_task

CPU = torch.device("cpu")
MADE_OF = {
    "classification": ("cnn", "focal"),
    "semantic_segmentation": ("unet", "focal"),
    "detection": ("centernet", "heatmap"),
}
"""A model and a loss term for each task."""


def job_of(task: str, **sections: Any) -> Job:
    facts, (model, term) = TASKS[task], MADE_OF[task]
    metric = next(name for name in facts.metrics if not name.endswith("/loss"))
    job = {
        "name": "job",
        "task": task,
        "data": {"path": "data/set"},
        "model": {"name": model},
        "loss": {term: {}},
        "optimizer": {"name": "adam", "lr": 0.1},
        "training": {"epochs": 1, "batch_size": 2},
        "objective": {"metric": metric, "mode": facts.metrics[metric]},
    }
    return Job.from_dict(job | sections)


def manifest_of(annotation: Annotation) -> Manifest:
    split = SplitFacts(
        rows=0, files=(), class_images=(0, 0), class_totals=(0, 0), pixel_mean=(0.5,), pixel_std=(0.1,), fingerprint=""
    )
    image = ImageFacts(channels=1, encoding="file", smallest=(8, 8), largest=(8, 8))
    return Manifest(
        source="tests",
        annotation=annotation,
        classes=("a", "b"),
        image=image,
        splits={"train": split, "val": split},
        fingerprint="",
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_task_takes_a_data_set_with_its_annotation(task: str) -> None:
    built = build_task(job_of(task), manifest_of(TASKS[task].annotation), CPU)
    assert built.outputs == 2
    assert built.metrics <= TASKS[task].metrics.keys()


@pytest.mark.parametrize(
    ("task", "annotation", "message"),
    [
        (
            "semantic_segmentation",
            "label",
            "job job: task semantic_segmentation needs masks, data/set has labels. Name another data.path, or take "
            "the task classification.",
        ),
        ("classification", "boxes", "task classification needs labels, data/set has boxes. Name another data.path, or"),
        ("detection", "mask", "task detection needs boxes, data/set has masks."),
    ],
)
def test_a_data_set_with_another_annotation_is_refused(task: str, annotation: Annotation, message: str) -> None:
    with pytest.raises(DataError) as error:
        build_task(job_of(task), manifest_of(annotation), CPU)
    assert message in str(error.value)


def test_a_split_that_is_not_there_is_named() -> None:
    job = job_of("detection", data={"path": "data/set", "evaluate_split": "test"})
    with pytest.raises(DataError, match=r"has no split test, which data.evaluate_split names. It has: train, val."):
        build_task(job, manifest_of("boxes"), CPU)


def test_top5_accuracy_of_two_classes_cannot_be_measured() -> None:
    job = job_of("classification", objective={"metric": "val/top5_accuracy", "mode": "max"})
    with pytest.raises(DataError, match=r"val/top5_accuracy can't be measured with the 2 classes of data/set."):
        build_task(job, manifest_of("label"), CPU)


def test_a_weight_for_a_class_that_is_not_there_says_what_may_be_meant() -> None:
    sampling = {"name": "weighted", "weights": {"rusty": 2.0, "b": 1.0}}
    job = job_of("classification", training={"epochs": 1, "batch_size": 2, "sampling": sampling})
    manifest = manifest_of("label").model_copy(update={"classes": ("rust", "b")})
    with pytest.raises(DataError) as refusal:
        build_task(job, manifest, CPU)
    assert str(refusal.value) == (
        "data/set has no class rusty, which training.sampling.weights names. Did you mean rust?"
    )
