"""From the task of a job to the task object of a trial."""

import torch

from trainyard.data.manifest import Manifest
from trainyard.errors import DataError
from trainyard.losses.class_weights import ClassCounts
from trainyard.spec.job import Job
from trainyard.spec.tasks import STEPS_TO_TARGET
from trainyard.tasks.classification import Classification, Measuring
from trainyard.tasks.detection import Detection
from trainyard.tasks.fitting import require_fit
from trainyard.tasks.promptable_segmentation import PromptableSegmentation, objects_against_rest
from trainyard.tasks.semantic_segmentation import SemanticSegmentation
from trainyard.tasks.task import Task


def build_task(job: Job, manifest: Manifest, device: torch.device) -> Task:
    """DataError if the data set doesn't fit the job, or can't give a metric that the job asks for."""
    require_fit(job, manifest)
    task = _task(job, manifest, device)
    _require_measured(job, manifest, task.metrics)
    return task


def build_measuring(job: Job, manifest: Manifest, device: torch.device) -> Measuring:
    """What a classifier that is fitted at once is measured by. DataError as build_task."""
    require_fit(job, manifest)
    watched = [metric for _, metric in job.watched]
    measuring = Measuring(manifest.classes, device, decision=job.decision, watched=watched)
    _require_measured(job, manifest, measuring.metrics)
    return measuring


def _require_measured(job: Job, manifest: Manifest, metrics: frozenset[str]) -> None:
    wanted = {metric for _, metric in job.watched}
    if missing := sorted(wanted - metrics - {STEPS_TO_TARGET}):
        raise DataError(f"{missing[0]} can't be measured with the {len(manifest.classes)} classes of {job.data.path}.")


def class_counts(manifest: Manifest, split: str) -> ClassCounts:
    """What class weights are made of: images of each class, or pixels of each and of the images that have it."""
    facts = manifest.splits[split]
    if manifest.annotation != "mask":
        return ClassCounts(facts.class_totals)
    # A manifest doesn't tell how large the images are that have a class: on average, as large as any.
    pixels = (sum(facts.class_totals) + facts.void_pixels) / max(1, facts.rows)
    return ClassCounts(facts.class_totals, around=[images * pixels for images in facts.class_images])


def _task(job: Job, manifest: Manifest, device: torch.device) -> Task:
    classes, counts = manifest.classes, class_counts(manifest, job.data.train_split)
    watched = [metric for _, metric in job.watched]
    loss = job.loss
    assert loss is not None, "a model that is trained step by step has a loss"
    match job.task:
        case "classification":
            return Classification(
                classes=classes,
                class_counts=counts,
                loss=loss,
                device=device,
                decision=job.decision,
                watched=watched,
            )
        case "semantic_segmentation":
            return SemanticSegmentation(classes=classes, class_counts=counts, loss=loss, device=device, watched=watched)
        case "promptable_segmentation":
            assert job.prompts is not None, "a job of this task says what to point at"
            return PromptableSegmentation(
                prompts=job.prompts, class_counts=objects_against_rest(counts), loss=loss, device=device
            )
        case "detection":
            return Detection(classes=classes, loss=loss, device=device, watched=watched)
