"""From the task of a job to the task object of a trial."""

import torch

from trainyard.data.manifest import Manifest
from trainyard.errors import DataError
from trainyard.spec.job import Job
from trainyard.tasks.classification import Classification
from trainyard.tasks.task import Task


def build_task(job: Job, manifest: Manifest, device: torch.device) -> Task:
    """DataError if the data set lacks a split of the job's, or can't give a metric that the job asks for."""
    for split in (job.data.train_split, job.data.evaluate_split):
        if split not in manifest.splits:
            raise DataError(f"{job.data.path} has no split {split}. It has: {', '.join(manifest.splits)}.")
    task = _task(job, manifest, device)
    early_stopping = job.training.early_stopping
    wanted = {objective.metric for objective in job.objectives} | ({early_stopping.metric} if early_stopping else set())
    if missing := sorted(wanted - task.metrics):
        raise DataError(f"{missing[0]} can't be measured with the {len(manifest.classes)} classes of {job.data.path}.")
    return task


def _task(job: Job, manifest: Manifest, device: torch.device) -> Task:
    match job.task:
        case "classification":
            return Classification(
                classes=manifest.classes,
                class_counts=manifest.splits[job.data.train_split].class_counts,
                loss=job.loss,
                device=device,
            )
    raise AssertionError(f"no task {job.task}")
