"""Whether a data set fits a job, as far as its manifest tells. Imports nothing heavy."""

from trainyard.data.manifest import Manifest
from trainyard.data.shapes import DecodeSettings
from trainyard.errors import DataError
from trainyard.spec.fitting import training_copies
from trainyard.spec.hints import close, listing
from trainyard.spec.job import Job
from trainyard.spec.models.svm import Svm
from trainyard.spec.sampling import Weighted
from trainyard.spec.section import dotted
from trainyard.spec.tasks import TASKS, class_of
from trainyard.tasks.automatic import resolved

MOST_SVM_ROWS = 20_000
"""The time of fitting an SVM grows with the square of its rows, or faster: so many take minutes a trial, more take
hours."""

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
        _require_class(job, manifest, name, "training.sampling.weights")
    _require_steps(job, manifest)
    _require_head(job, manifest)
    _require_channels(job, manifest)
    _require_pixels(job, manifest)
    if isinstance(job.model, Svm):
        _require_fittable(job, job.model, manifest)
    if job.prompts:
        _require_objects(job, manifest)
    if job.decision:
        _require_rows(job, manifest, job.decision.positive, "decision.positive")
    for path, metric in job.watched:
        if measured := class_of(job.task, metric):
            _require_rows(job, manifest, measured, dotted((*path, "metric")))
    resolved(job, manifest)


def rows_trained_on(job: Job, manifest: Manifest) -> int:
    """Of the training split, with the copies that are made of them before the first trial."""
    return manifest.splits[job.data.train_split].rows * (1 + training_copies(job))


def _require_class(job: Job, manifest: Manifest, name: str, setting: str) -> None:
    if name not in manifest.classes:
        hint = close(name, manifest.classes) or f" It has {listing(manifest.classes, last='and')}."
        raise DataError(f"{job.data.path} has no class {name}, which {setting} names.{hint}")


def _require_rows(job: Job, manifest: Manifest, name: str, setting: str) -> None:
    """A class that is measured by itself must be there, and occur in what is evaluated."""
    _require_class(job, manifest, name, setting)
    split = job.data.evaluate_split
    if not manifest.splits[split].class_images[manifest.classes.index(name)]:
        raise DataError(
            f"split {split} of {job.data.path} has no image of class {name}, which {setting} names: there's nothing to "
            "measure. Choose another data.evaluate_split, or another class."
        )


def _require_steps(job: Job, manifest: Manifest) -> None:
    steps = job.training.steps_per_epoch
    if steps is not None:
        # Imported here: it brings numpy along.
        from trainyard.data.rows import require_within_pass, steps_per_pass

        training, rows = job.training, rows_trained_on(job, manifest)
        whole = steps_per_pass(rows=rows, batch_size=training.batch_size, last_batch=training.last_batch)
        require_within_pass(steps, whole)


def _require_head(job: Job, manifest: Manifest) -> None:
    """A single logit tells two classes apart, and no more; an object from all else, whatever its class."""
    classes = len(manifest.classes)
    if job.loss and job.loss.binary and job.prompts is None and classes != 2:
        raise DataError(
            f"loss.binary_cross_entropy is for two classes, {job.data.path} has {classes}. Take loss.cross_entropy, "
            "with class_weights if some are rare."
        )


def _require_channels(job: Job, manifest: Manifest) -> None:
    """Nets that were made for colours take nothing else."""
    takes, there = job.model.image_channels, job.data.channels or manifest.image.channels
    if takes is not None and there != takes:
        got = f"data.channels is {there}" if job.data.channels else f"{job.data.path} has {there}"
        raise DataError(f"model {job.model.name} takes images of {takes} channels, {got}. Set data.channels: {takes}.")


def _require_objects(job: Job, manifest: Manifest) -> None:
    """Something to point at, in what is trained on and in what is evaluated."""
    background = manifest.classes[0]
    for setting in ("train_split", "evaluate_split"):
        split = getattr(job.data, setting)
        if not sum(manifest.splits[split].class_totals[1:]):
            raise DataError(
                f"split {split} of {job.data.path}, which data.{setting} names, has no object to point at: its pixels "
                f"are all {background}, the first class, which is taken for the background."
            )


def _require_pixels(job: Job, manifest: Manifest) -> None:
    """Images that a net can halve as often as it does."""
    size = DecodeSettings.of(job.data, manifest).image_size or manifest.image.size
    least = job.model.least_side
    if size is not None and min(size) < least:
        raise DataError(
            f"model {job.model.name} needs images of {least} pixels each way, those of {job.data.path} are "
            f"{size[0]}x{size[1]}. Set a larger data.image_size."
        )
    workers = job.resources.most_workers
    if size is not None and max(size) <= job.model.single_side and job.training.batch_size // workers < 2:
        raise DataError(
            f"model {job.model.name} brings images of {size[0]}x{size[1]} down to a single position, and normalises it "
            f"over a worker's images, of which there is one. Set training.batch_size to {2 * workers} or more, or a "
            "larger data.image_size."
        )


def _require_fittable(job: Job, model: Svm, manifest: Manifest) -> None:
    """Some rows, of two classes, and not so many that a fit takes hours unless the job says that it may."""
    train, evaluate = job.data.train_split, job.data.evaluate_split
    rows, counts = manifest.splits[train].rows, manifest.splits[train].class_images
    if sum(count > 0 for count in counts) < 2:
        raise DataError(
            f"split {train} of {job.data.path} has images of fewer than two classes, and model {model.name} tells "
            "classes apart. Choose another data.train_split."
        )
    if manifest.splits[evaluate].rows == 0:
        raise DataError("the split to evaluate on has no rows. Choose another data.evaluate_split.")
    if rows > MOST_SVM_ROWS and model.max_rows is None:
        raise DataError(
            f"model {model.name} would be fitted to {rows:,} rows of {job.data.path}: its time grows with "
            f"their square or faster, and beyond {MOST_SVM_ROWS:,} it takes hours. Set model.max_rows={MOST_SVM_ROWS} "
            f"to fit to so many of them, or model.max_rows={rows} if you mean it."
        )
