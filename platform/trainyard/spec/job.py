"""A job: what to train. Everything that a trial does follows from it and from the data."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, model_validator

from trainyard.errors import SpecError
from trainyard.spec.augmentations import MIXING, Augmentations
from trainyard.spec.decision import Decision
from trainyard.spec.fields import put_all
from trainyard.spec.fitting import fitting_flaws
from trainyard.spec.hints import close, listing
from trainyard.spec.loss import Loss, Pointwise
from trainyard.spec.model import Model, models_for
from trainyard.spec.models.settings import OWN_MODEL
from trainyard.spec.optimizer import Optimizer
from trainyard.spec.pictures import IMAGES, Pictures
from trainyard.spec.prompts import Prompts
from trainyard.spec.scalars import show
from trainyard.spec.schedule import Constant, Schedule
from trainyard.spec.section import Flaw, Section, dotted, flatten, plain, refuse, stated
from trainyard.spec.section import Path as SpecPath
from trainyard.spec.sentences import validate
from trainyard.spec.source import Source
from trainyard.spec.tasks import STEPS_TO_TARGET, TASKS, TaskName, metric_mode
from trainyard.spec.training import DataSettings, Objective, Objectives, Resources, Training
from trainyard.spec.yaml_writer import to_yaml

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Job(Section):
    """What to train: data, task, model, loss, augmentations, optimizer, schedule, length, resources and objective."""

    name: Name = Field(description="Names the job in tables and in MLflow.", examples=["digits-cnn"])
    task: TaskName = Field(description="What a batch, a loss and a metric mean.", examples=["classification"])
    data: DataSettings = Field(examples=[{"path": "data/digits"}])
    model: Model = Field(examples=[{"name": "cnn"}])
    prompts: Prompts | None = None
    loss: Loss | None = Field(
        None,
        description="What is minimised; required unless the model is fitted at once.",
        examples=[{"cross_entropy": {"weight": 1.0}}],
    )
    augmentations: Augmentations = Augmentations()
    optimizer: Optimizer | None = Field(
        None,
        description="What makes steps of gradients; required unless the model is fitted at once.",
        examples=[{"name": "adamw", "lr": 1e-3}],
    )
    schedule: Schedule = Constant(name="constant")
    training: Training = Field(examples=[{"epochs": 10, "batch_size": 64}])
    resources: Resources = Resources()
    decision: Decision | None = None
    pictures: Pictures = Pictures()
    objective: Objectives = Field(examples=[{"metric": "val/accuracy", "mode": "max"}])
    labels: dict[str, str] = Field(
        {},
        description="Words of your own that tell jobs apart; a space can vary one, and other settings by it.",
        examples=[{"arm": "baseline"}],
    )

    _directory: Path = PrivateAttr(default=Path())
    _working_directory: Path = PrivateAttr(default=Path())
    _source: Source = PrivateAttr(default=Source(file="job"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "job", directory: Path = Path()) -> "Job":
        """A job from plain data, such as to_dict() gave. Raises SpecError with every problem; where begins each."""
        job, flaws = validate(cls, dict(data))
        if job is None:
            raise SpecError(Source(file=where).locate(flaws))
        job._directory, job._working_directory = directory, Path.cwd()
        job._source = Source(file=where)
        return job

    @property
    def directory(self) -> Path:
        """The folder of the job's file, from which the user's own modules are imported."""
        return self._directory

    @property
    def working_directory(self) -> Path:
        """The folder in which the command runs, in which workers look for files of weights too."""
        return self._working_directory

    @property
    def source(self) -> Source:
        """Where each setting was written, for messages."""
        return self._source

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What to improve, one or several."""
        return self.objective if isinstance(self.objective, tuple) else (self.objective,)

    @property
    def pictured(self) -> int:
        """Images of which pictures are drawn."""
        if self.pictures.images is not None:
            return self.pictures.images
        return IMAGES if TASKS[self.task].pictured else 0

    @property
    def watched(self) -> tuple[tuple[SpecPath, str], ...]:
        """Every metric that the job names, and where."""
        training = self.training
        named: list[tuple[SpecPath, str]] = [
            (("objective", index) if isinstance(self.objective, tuple) else ("objective",), objective.metric)
            for index, objective in enumerate(self.objectives)
        ]
        if training.early_stopping:
            named.append((("training", "early_stopping"), training.early_stopping.metric))
        if training.target:
            named.append((("training", "target"), training.target.metric))
        return tuple(named)

    def to_dict(self) -> dict[str, Any]:
        """The whole job as plain values, defaults included; what is absent is left out."""
        return dict(plain(self))

    def stated(self) -> dict[str, Any]:
        """The settings that somebody stated, as plain values. from_dict makes of them the same job.

        Of to_dict() it makes one in which every default is stated, and so outlives a change of `optimizer.name`.
        """
        return dict(stated(self))

    def to_yaml(self) -> str:
        """The whole job as YAML: a line for each setting of a section."""
        return to_yaml(self.to_dict())

    def values(self) -> dict[str, Any]:
        """The settings by dotted path, defaults included; lists as they are, what is absent left out."""
        return flatten(self.to_dict())

    def with_values(self, values: Mapping[str, Any], *, where: str | None = None) -> "Job":
        """This job with other values at some dotted paths.

        A changed `name` of the optimizer, the schedule or the model keeps the settings that were stated and that both
        have. It drops the others, and what nobody stated has the default of the new one. Raises SpecError with every
        unknown path and every value that makes no valid job; where begins each problem, by default the job's file.
        """
        job, flaws = self.judge(values)
        if job is None:
            raise SpecError(Source(file=where or self._source.file).locate(flaws))
        return job

    def judge(self, values: Mapping[str, Any]) -> tuple["Job | None", list[Flaw]]:
        """What with_values gives, or everything that is wrong with it."""
        data = self.stated()
        flaws = put_all(Job, data, {path: plain(value) for path, value in values.items()})
        job, wrong = validate(Job, data)
        if flaws or job is None:
            return None, [*flaws, *wrong]
        job._directory, job._working_directory, job._source = self._directory, self._working_directory, self._source
        return job, []

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> "Job":
        refuse(_rules(self))
        return self

    def __eq__(self, other: object) -> bool:
        """Equal settings; the folder and the file that they came from don't count."""
        return isinstance(other, Job) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.to_yaml())


def _rules(job: Job) -> Iterator[Flaw]:
    """The rules that span several settings."""
    training, resources = job.training, job.resources
    most = resources.most_workers
    if training.batch_size < most:
        got = f"batch_size={training.batch_size}, workers={show(resources.workers)}"
        message = f"training.batch_size must be >= resources.workers, a sample for each, got {got}."
        yield Flaw(("training", "batch_size"), message, (("resources", "workers"),))
    elif training.batch_size // most < job.model.least_share:
        least = f"{job.model.least_share} x resources.workers"
        message = (
            f"training.batch_size must be at least {least} for the model {job.model.name} as it is, which normalises "
            f"over a worker's images, got batch_size={training.batch_size}, workers={show(resources.workers)}."
        )
        yield Flaw(("training", "batch_size"), message, (("resources", "workers"), ("model",)))
    if resources.crew and resources.gpus_per_worker % 1:
        got = f"gpus_per_worker={resources.gpus_per_worker:g}, workers={show(resources.workers)}"
        message = f"resources.gpus_per_worker must be a whole number for more than one worker, got {got}."
        yield Flaw(("resources", "gpus_per_worker"), message, (("resources", "workers"),))
    elif resources.gpus_per_worker > 1 and resources.gpus_per_worker % 1:
        message = f"resources.gpus_per_worker must be a whole number above 1, got {resources.gpus_per_worker:g}."
        yield Flaw(("resources", "gpus_per_worker"), message)
    warmup = getattr(job.schedule, "warmup_epochs", 0)
    if warmup > training.epochs:
        got = f"warmup_epochs={warmup:g}, epochs={training.epochs}"
        message = f"schedule.warmup_epochs must be <= training.epochs, got {got}."
        yield Flaw(("schedule", "warmup_epochs"), message, (("training", "epochs"),))
    yield from fitting_flaws(job)
    yield from _task_rules(job)
    yield from _mixing_rules(job)
    yield from _decision_rules(job)
    if job.pictures.images and not TASKS[job.task].pictured:
        message = f"pictures.images doesn't fit the task {job.task}, of which no pictures are drawn. Set it to 0."
        yield Flaw(("pictures", "images"), message, (("task",),))
    yield from _prompt_rules(job)
    yield from _metric_rules(job)
    yield from _objective_rules(job)
    for label in (label for label in job.labels if not label or "." in label):
        yield Flaw(("labels", label), f"a label's name must not be empty or have a dot, got {show(label)}.")


def _task_rules(job: Job) -> Iterator[Flaw]:
    """Model and loss must be the task's, and the loss one that the model answers with."""
    task, model = job.task, job.model
    if task not in model.tasks:
        models = listing([*models_for(task), OWN_MODEL])
        message = f"model.name must be {models} for the task {task}, got {show(model.name)}."
        yield Flaw(("model", "name"), message, (("task",),))
    elif not model.classifies:
        message = f"model.head must be linear in a job: without a head {model.name} answers with feature maps."
        yield Flaw(("model", "head"), message, (("model", "name"), ("task",)))
    takes = TASKS[task].loss_terms
    for term in sorted(job.loss.terms()) if job.loss else ():
        if term not in takes:
            message = f"loss.{term} doesn't fit the task {task}, which takes {listing(sorted(takes))}."
            yield Flaw(("loss", term), message, (("task",),))
        elif task in model.tasks and model.answers is not None and term not in model.answers:
            answered = listing(sorted(model.answers), last="and")
            message = f"loss.{term} doesn't fit the model {model.name}, which answers with {answered}."
            yield Flaw(("loss", term), message, (("model", "name"),))
        elif TASKS[task].annotation != "mask" and getattr(getattr(job.loss, term), "boundary", None):
            message = f"loss.{term}.boundary doesn't fit the task {task}: only masks have boundaries of classes."
            yield Flaw(("loss", term, "boundary"), f"{message} Remove it.", (("task",),))


def _mixing_rules(job: Job) -> Iterator[Flaw]:
    """What mixup and cutmix ask for."""
    batch_size, resources = job.training.batch_size, job.resources
    for name in (name for name in MIXING if name in job.augmentations.stated()):
        if TASKS[job.task].annotation != "label":
            rule = f"augmentations.{name} doesn't fit the task {job.task}: it mixes images that have one class each"
            yield Flaw(("augmentations", name), f"{rule}. Remove it.", (("task",),))
        elif batch_size % 2 or batch_size < 2 * resources.most_workers:
            rule = f"training.batch_size must be even and >= 2 x resources.workers for augmentations.{name}"
            got = f"batch_size={batch_size}, workers={show(resources.workers)}"
            message = f"{rule}, which mixes the two samples of a pair, got {got}."
            yield Flaw(("training", "batch_size"), message, (("resources", "workers"), ("augmentations", name)))


def _decision_rules(job: Job) -> Iterator[Flaw]:
    """Only what has one class an image is decided about, and a weight for the positive class needs one."""
    if job.decision and job.task != "classification":
        message = f"decision doesn't fit the task {job.task}: it is about images that have one class each. Remove it."
        yield Flaw(("decision",), message, (("task",),))
    binary = job.loss.binary_cross_entropy if job.loss else None
    if binary and binary.positive_weight != 1 and job.decision is None and job.task == "classification":
        path = ("loss", "binary_cross_entropy", "positive_weight")
        message = f"{dotted(path)} needs decision.positive, which says which class is the positive one."
        yield Flaw(path, f"{message} Add decision: {{positive: CLASS}}.", (("decision",),))


def _prompt_rules(job: Job) -> Iterator[Flaw]:
    """What is segmented for a prompt has prompts, and nothing else has."""
    prompted = job.task == "promptable_segmentation"
    if prompted and job.prompts is None:
        yield Flaw(("prompts",), "prompts is missing. Add it, such as prompts: {per: mask}.", (("task",),))
    if not prompted and job.prompts is not None:
        message = f"prompts doesn't fit the task {job.task}: its models are asked for no object in particular."
        yield Flaw(("prompts",), f"{message} Remove it.", (("task",),))
    if prompted and job.prompts and job.loss:
        yield from _object_weight_rules(job.prompts, job.loss)


def _object_weight_rules(prompts: Prompts, loss: Loss) -> Iterator[Flaw]:
    """Classes are weighed by what a data set knows of its classes, and it knows nothing of single objects."""
    for term, settings in loss.terms().items():
        weights = settings.class_weights.name if isinstance(settings, Pointwise) else "none"
        path, involved = ("loss", term, "class_weights"), (("prompts", "per"), ("task",))
        if prompts.per == "component" and weights != "none":
            message = (
                f"{dotted(path)} must be none with prompts.per: component, got {weights}: an object is compared with "
                "all else, other objects too, and a data set counts the pixels of classes only. Set "
                "loss.binary_cross_entropy.positive_weight for more weight on objects."
            )
            yield Flaw(path, message, involved)
        elif weights == "median_frequency":
            message = (
                f"{dotted(path)} must not be median_frequency for the task promptable_segmentation: each image that "
                "counts has both an object and a background, so it would be inverse_frequency. Name that."
            )
            yield Flaw(path, message, involved)


def _metric_rules(job: Job) -> Iterator[Flaw]:
    """The metrics that are named must be the task's, and known when they are looked at."""
    for path, metric in job.watched:
        yield from _unknown_metric(job, path, metric)
        if metric != STEPS_TO_TARGET:
            continue
        at = (*path, "metric")
        if path[0] == "training":
            rule = f"{dotted(at)} must be a metric that every epoch has, got {metric}, known once the target is reached"
            yield Flaw(at, f"{rule}. Name training.target's own metric.")
        elif job.training.target is None:
            message = f"{dotted(at)} is {metric}, which needs training.target: the metric, and the value to reach."
            example = "training.target: {metric: val/accuracy, value: 0.95}"
            yield Flaw(at, f"{message} Such as {example}.", (("training", "target"),))
        elif len(job.objectives) > 1 and path == ("objective", 0):
            rule = f"{metric} can't be the first of several objectives, by which the best epoch is told"
            yield Flaw(at, f"{rule}: many an epoch has none. Put another first.")


def _objective_rules(job: Job) -> Iterator[Flaw]:
    seen: set[str] = set()
    for index, objective in enumerate(job.objectives):
        path: SpecPath = ("objective", index) if isinstance(job.objective, tuple) else ("objective",)
        metric, mode = objective.metric, objective.mode
        better = metric_mode(job.task, metric) or mode
        if mode != better:
            message = f"{dotted((*path, 'mode'))} must be {better} for {metric}, got {mode}."
            yield Flaw((*path, "mode"), message, ((*path, "metric"), ("task",)))
        if metric in seen:
            yield Flaw((*path, "metric"), f"objective names {metric} twice. Keep one.")
        seen.add(metric)


def _unknown_metric(job: Job, path: SpecPath, metric: str) -> Iterator[Flaw]:
    if metric_mode(job.task, metric) is None:
        facts = TASKS[job.task]
        of_class = "/".join(metric.split("/")[2:])
        measures = sorted(facts.class_metrics)
        hint = close(metric, [*facts.metrics, *(f"{measure}/{of_class}" for measure in measures if of_class)])
        there = f" It reports {listing(facts.metrics, last='and')}."
        if measures:
            there += f" Of each class {listing((f'{name}/<class>' for name in measures), last='and')}."
        message = f"{dotted((*path, 'metric'))} must be a metric of {job.task}, got {show(metric)}.{hint or there}"
        yield Flaw((*path, "metric"), message, (("task",),))
