"""Whether a data set fits a job, as far as its manifest tells. Imports nothing heavy."""

from trainyard.data.manifest import Manifest
from trainyard.errors import DataError
from trainyard.spec.hints import close, listing
from trainyard.spec.job import Job
from trainyard.spec.sampling import Weighted
from trainyard.spec.tasks import TASKS

_SPOKEN = {"label": "labels", "mask": "masks", "boxes": "boxes"}


def require_fit(job: Job, manifest: Manifest) -> None:
    """DataError if the data set lacks what the job's task needs, or a split or a class that the job names."""
    needed, there = TASKS[job.task].annotation, manifest.annotation
    if needed != there:
        fitting = " or ".join(name for name, facts in TASKS.items() if facts.annotation == there)
        raise DataError(
            f"job {job.name}: task {job.task} needs {_SPOKEN[needed]}, {job.data.path} has {_SPOKEN[there]}. Name "
            f"another data.path, or take the task {fitting}."
        )
    for setting in ("train_split", "evaluate_split"):
        split = getattr(job.data, setting)
        if split not in manifest.splits:
            raise DataError(
                f"{job.data.path} has no split {split}, which data.{setting} names. It has: "
                f"{', '.join(manifest.splits)}."
            )
    sampling = job.training.sampling
    for name in sampling.weights if isinstance(sampling, Weighted) else ():
        if name not in manifest.classes:
            hint = close(name, manifest.classes) or f" It has {listing(manifest.classes, last='and')}."
            raise DataError(f"{job.data.path} has no class {name}, which training.sampling.weights names.{hint}")
