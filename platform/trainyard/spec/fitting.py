"""The rules of models that need less than others: those that are fitted at once have no use for what makes steps of
gradients, and what is extracted once for all trials can't differ from trial to trial."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from trainyard.spec.augmentations import Augmentations
from trainyard.spec.models.promptable import Sam, SharedEmbeddings
from trainyard.spec.scalars import show
from trainyard.spec.schedule import Constant
from trainyard.spec.section import Flaw, Path

if TYPE_CHECKING:
    from trainyard.spec.job import Job

_EXAMPLES = {"loss": "{cross_entropy: {weight: 1.0}}", "optimizer": "{name: adamw, lr: 0.001}"}
"""Of the sections that a model has to have unless it is fitted at once."""

_OF_ANY_MODEL = ("epochs", "batch_size", "seed", "checkpoint_seconds")
"""Settings of `training` that say something of a model that is fitted at once, too."""

_FITTED = {
    "training.batch_size": "it is the images that go through the extractor at a time",
    "training.checkpoint_seconds": "a fit is kept when it is done",
    "training.seed": "features are extracted once for all trials, with the weights that the job's seed draws",
}
"""What a space can't vary of a model that is fitted at once, though its job has it, and why."""

_EMBEDDED = {
    "model": "embeddings are made once for all trials; the next sweep can take another, and model.embeddings: "
    "each_step makes them anew",
    "augmentations": "augmented images are embedded once for all trials; model.embeddings: each_step augments them "
    "anew",
    "training.seed": "images are augmented once for all trials, by the job's seed; model.embeddings: each_step "
    "augments them anew",
}
"""The same of a model whose embeddings are made once."""

_UNEMBEDDED = {
    "model.embeddings": "what trials are trained on is read once for all of them: images, or their embeddings"
}
"""The same of a model that could have been given embeddings, and is given images."""


def unsearched(job: "Job") -> Mapping[str, str]:
    """What a space can't vary because of the job's model, though the job has it, and why."""
    if job.model.fitted:
        return _FITTED
    if job.model.extracts:
        return _EMBEDDED
    return _UNEMBEDDED if isinstance(job.model, Sam) else {}


def extraction_flaws(job: "Job", point: "Job") -> Iterator[Flaw]:
    """What is wrong with a point of a space for the job if it is trained on something else than the job is."""
    if point.model.extracts != job.model.extracts:
        kinds = {True: "what is extracted from images once for all trials", False: "images"}
        message = (
            f"model.name={point.model.name} is trained on {kinds[point.model.extracts]}, and the job's model "
            f"{job.model.name} on {kinds[job.model.extracts]}. Search either in a sweep of its own."
        )
        yield Flaw(("model", "name"), message)


def training_copies(job: "Job") -> int:
    """Augmented copies of each row that are made, once for all trials, to be trained on beside it."""
    shared = _shared_embeddings(job)
    return 0 if shared is None or job.augmentations == Augmentations() else shared.copies


def _shared_embeddings(job: "Job") -> SharedEmbeddings | None:
    embeddings = job.model.embeddings if isinstance(job.model, Sam) else None
    return embeddings if isinstance(embeddings, SharedEmbeddings) else None


def fitting_flaws(job: "Job") -> Iterator[Flaw]:
    """What is missing for a model that is trained step by step, and what is too much for one that is fitted at once, or
    trained on embeddings."""
    yield from _too_much(job) if job.model.fitted else _missing(job)
    shared = _shared_embeddings(job)
    if shared is not None:
        yield from _unused(job, shared)


def _unused(job: "Job", shared: SharedEmbeddings) -> Iterator[Flaw]:
    """Settings that make no difference to images that are embedded once for all trials."""
    involved: tuple[Path, ...] = (("model", "name"), ("model", "embeddings"))
    if job.data.loading != "auto":
        message = (
            f"data.loading must be auto with model.embeddings: shared, got {job.data.loading}: trials are trained on "
            "embeddings, which are all in memory. Remove it, or set model.embeddings: each_step."
        )
        yield Flaw(("data", "loading"), message, involved)
    if shared.copies == 0 and job.augmentations != Augmentations():
        message = (
            "augmentations must be absent with model.embeddings.copies=0: only copies of images are augmented before "
            "all are embedded. Remove them, or set model.embeddings.copies to 1 or more."
        )
        yield Flaw(("augmentations",), message, involved)


def _missing(job: "Job") -> Iterator[Flaw]:
    for name, example in _EXAMPLES.items():
        if getattr(job, name) is None:
            yield Flaw((name,), f"{name} is missing. Add it, such as {name}: {example}.", (("model", "name"),))


def _too_much(job: "Job") -> Iterator[Flaw]:
    model = job.model.name
    for path, reason in _unfit(job):
        message = f"{'.'.join(map(str, path))} doesn't fit the model {model}, {reason}. Remove it."
        yield Flaw(path, message, (("model", "name"),))
    if job.training.epochs != 1:
        rule = f"training.epochs must be 1 for the model {model}, which is fitted at once"
        yield Flaw(("training", "epochs"), f"{rule}, got {job.training.epochs}.", (("model", "name"),))
    if job.resources.crew:
        rule = f"resources.workers must be 1 for the model {model}, which is fitted as a whole"
        message = (
            f"{rule}, got {show(job.resources.workers)}. A sweep fits as many trials at a time as the cluster holds."
        )
        yield Flaw(("resources", "workers"), message, (("model", "name"),))


def _unfit(job: "Job") -> Iterator[tuple[Path, str]]:
    """Settings that a model that is fitted at once has no use for, by their path, and why."""
    fitted = "which is fitted at once and not step by step"
    for name in _EXAMPLES:
        if getattr(job, name) is not None:
            yield (name,), fitted
    if job.schedule != Constant(name="constant"):
        yield ("schedule",), fitted
    if job.augmentations != Augmentations():
        yield ("augmentations",), "whose features are extracted once, from the images as they are"
    training = job.training
    for name, field in type(training).model_fields.items():
        if name not in _OF_ANY_MODEL and getattr(training, name) != field.default:
            yield ("training", name), fitted
