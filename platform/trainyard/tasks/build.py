"""From the task of a job to the task object of a trial."""

import torch

from trainyard.data.manifest import Manifest
from trainyard.errors import DataError
from trainyard.spec.job import Job
from trainyard.tasks.classification import Classification
from trainyard.tasks.detection import Detection
from trainyard.tasks.fitting import require_fit
from trainyard.tasks.semantic_segmentation import SemanticSegmentation
from trainyard.tasks.task import Task


def build_task(job: Job, manifest: Manifest, device: torch.device) -> Task:
    """DataError if the data set doesn't fit the job, or can't give a metric that the job asks for."""
    require_fit(job, manifest)
    task = _task(job, manifest, device)
    early_stopping = job.training.early_stopping
    wanted = {objective.metric for objective in job.objectives} | ({early_stopping.metric} if early_stopping else set())
    if missing := sorted(wanted - task.metrics):
        raise DataError(f"{missing[0]} can't be measured with the {len(manifest.classes)} classes of {job.data.path}.")
    return task


def _task(job: Job, manifest: Manifest, device: torch.device) -> Task:
    classes, totals = manifest.classes, manifest.splits[job.data.train_split].class_totals
    match job.task:
        case "classification":
            return Classification(classes=classes, class_totals=totals, loss=job.loss, device=device)
        case "semantic_segmentation":
            return SemanticSegmentation(classes=classes, class_totals=totals, loss=job.loss, device=device)
        case "detection":
            return Detection(classes=classes, loss=job.loss, device=device)
