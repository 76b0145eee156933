"""Whether a data set fits a job is known from its manifest."""

from typing import Any

import pytest
import torch

from trainyard.data.manifest import Annotation, FileFacts, ImageFacts, Manifest, SplitFacts
from trainyard.errors import DataError
from trainyard.spec.job import Job
from trainyard.spec.tasks import TASKS, metric_mode
from trainyard.tasks.build import build_task

CPU = torch.device("cpu")
MADE_OF = {
    "classification": ("cnn", "focal"),
    "semantic_segmentation": ("unet", "focal"),
    "detection": ("centernet", "heatmap"),
    "promptable_segmentation": ("nets:build", "focal"),
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
    prompted = {"prompts": {"per": "mask"}} if task == "promptable_segmentation" else {}
    return Job.from_dict(job | prompted | sections)


def manifest_of(annotation: Annotation, *, images: tuple[int, ...] = (0, 0)) -> Manifest:
    """images: of each class, in both splits."""
    split = SplitFacts(
        rows=sum(images),
        files=(FileFacts(name="a.parquet", rows=sum(images)),) if sum(images) else (),
        class_images=images,
        class_totals=images,
        pixel_mean=(0.5,),
        pixel_std=(0.1,),
        fingerprint="",
    )
    image = ImageFacts(channels=1, encoding="file", smallest=(8, 8), largest=(8, 8))
    return Manifest(
        source="tests",
        annotation=annotation,
        classes=tuple("abcdefgh"[: len(images)]),
        image=image,
        splits={"train": split, "val": split},
        fingerprint="",
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_task_takes_a_data_set_with_its_annotation(task: str) -> None:
    built = build_task(job_of(task), manifest_of(TASKS[task].annotation, images=(2, 2)), CPU)
    assert built.outputs == (1 if task == "promptable_segmentation" else 2)  # one: an object or not
    assert all(metric_mode(task, metric) for metric in built.metrics)


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


def refused(manifest: Manifest, **sections: Any) -> str:
    with pytest.raises(DataError) as refusal:
        build_task(job_of("classification", **sections), manifest, CPU)
    return str(refusal.value)


def test_a_single_logit_is_for_two_classes() -> None:
    binary = {"loss": {"binary_cross_entropy": {}}}
    assert build_task(job_of("classification", **binary), manifest_of("label", images=(3, 2)), CPU).outputs == 1
    assert refused(manifest_of("label", images=(3, 2, 1)), **binary) == (
        "loss.binary_cross_entropy is for two classes, data/set has 3. Take loss.cross_entropy, with class_weights if "
        "some are rare."
    )


OF_A_CLASS: dict[str, dict[str, Any]] = {
    "decision.positive": {"decision": {"positive": "rust"}},
    "objective[1].metric": {
        "objective": [{"metric": "val/loss", "mode": "min"}, {"metric": "val/recall/rust", "mode": "max"}]
    },
    "training.early_stopping.metric": {
        "training": {"epochs": 1, "batch_size": 2, "early_stopping": {"metric": "val/f1/rust", "patience": 1}}
    },
    "training.target.metric": {
        "training": {"epochs": 1, "batch_size": 2, "target": {"metric": "val/average_precision/rust", "value": 0.9}}
    },
}


@pytest.mark.parametrize(("setting", "sections"), OF_A_CLASS.items(), ids=OF_A_CLASS)
def test_a_class_that_is_measured_must_be_there_and_have_rows(setting: str, sections: dict[str, Any]) -> None:
    fine = manifest_of("label", images=(3, 2)).model_copy(update={"classes": ("rust", "none")})
    build_task(job_of("classification", **sections), fine, CPU)

    misspelt = fine.model_copy(update={"classes": ("rusty", "none")})
    assert refused(misspelt, **sections) == f"data/set has no class rust, which {setting} names. Did you mean rusty?"
    empty = manifest_of("label", images=(0, 2)).model_copy(update={"classes": ("rust", "none")})
    assert refused(empty, **sections).startswith(
        f"split val of data/set has no image of class rust, which {setting} names: there's nothing to measure."
    )


def test_an_epoch_is_no_longer_than_a_pass() -> None:
    manifest = manifest_of("label", images=(6, 5))

    def training(steps: int, **changes: Any) -> dict[str, Any]:
        return {"training": {"epochs": 1, "batch_size": 2, "steps_per_epoch": steps, **changes}}

    build_task(job_of("classification", **training(5)), manifest, CPU)
    build_task(job_of("classification", **training(6, last_batch="pad")), manifest, CPU)
    assert refused(manifest, **training(6)) == (
        "training.steps_per_epoch must be <= the steps of a whole pass over the training split, got steps_per_epoch=6, "
        "a pass=5. Lower it, and take more training.epochs."
    )


def test_steps_to_a_target_can_be_measured_of_any_task() -> None:
    training = {"epochs": 1, "batch_size": 2, "target": {"metric": "val/miou", "value": 0.5}}
    objective = {"metric": "val/steps_to_target", "mode": "min"}
    build_task(job_of("semantic_segmentation", training=training, objective=objective), manifest_of("mask"), CPU)
