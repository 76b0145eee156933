"""A trial's best state, measured on a split of the data set: printed, and recorded in its run."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from trainyard.cli.machine import cpus_here
from trainyard.cli.options import results_option
from trainyard.cli.printing import counted, number, table
from trainyard.cluster.shipment import own_models
from trainyard.data.dataset import Dataset
from trainyard.data.location import Location
from trainyard.errors import DataError, TrackingError, UsageError
from trainyard.spec.files import require_files
from trainyard.spec.job import Job
from trainyard.spec.tasks import class_of
from trainyard.sweep.kept import Kept
from trainyard.sweep.opening import require_same_data, require_same_extraction
from trainyard.sweep.record import TrialRecord
from trainyard.sweep.results.folder import SweepFolder
from trainyard.tracking.uri import tracking_uri

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was typed. trial: None for the best one. cpus: None for all of this machine. code: where that of the user's
    own model is, if not where it was."""

    name: str
    results: Location
    split: str
    trial: int | None = None
    device: Device | None = None
    cpus: int | None = None
    code: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A state's metrics of a split, by `<split>/<name>`, and those of its epoch's evaluation, by `val/<name>`.

    trial: None for a training. images: of the split. recorded: whether the metrics have been put into MLflow. told: a
    sentence about that. undelivered: the error, if they are not there and should be.
    """

    name: str
    job: Job
    trial: int | None
    epoch: int
    images: int
    metrics: Mapping[str, float]
    before: Mapping[str, float]
    recorded: bool = False
    told: str = ""
    undelivered: TrackingError | None = None

    @property
    def split(self) -> str:
        return self.job.data.evaluate_split

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "trial": self.trial,
            "epoch": self.epoch,
            "split": self.split,
            "images": self.images,
            "metrics": dict(self.metrics),
            "evaluated": dict(self.before),
            "recorded": self.recorded,
        }

    def lines(self) -> list[str]:
        """The objectives in a line; all metrics beside those of the training's own evaluations; those of classes."""
        trial = "" if self.trial is None else f", trial {self.trial}"
        names = [metric.removeprefix("val/") for _, metric in self.job.watched]
        shown = [f"{self.split}/{name}" for name in dict.fromkeys(names) if f"{self.split}/{name}" in self.metrics]
        reached = ", ".join(f"{name}={number(self.metrics[name])}" for name in shown or [f"{self.split}/loss"])
        head = f"{self.name}{trial}, the state of epoch {self.epoch}: {reached} ({counted(self.images, 'image')})"
        return [head, "", *self._table(), *self._class_table()]

    def _plain(self) -> dict[str, float]:
        """Without the name of the split."""
        return {name.partition("/")[2]: value for name, value in self.metrics.items()}

    def _table(self) -> list[str]:
        own = [(name, value) for name, value in self._plain().items() if not class_of(self.job.task, f"val/{name}")]
        rows = [[f"{self.split}/{name}", number(value), number(self.before.get(f"val/{name}"))] for name, value in own]
        return table(["metric", self.split, f"val at epoch {self.epoch}"], rows, left=[0])

    def _class_table(self) -> list[str]:
        """A line for each class, a column for each of its measures."""
        plain = self._plain()
        named = {name: found for name in plain if (found := class_of(self.job.task, f"val/{name}"))}
        measures = list(dict.fromkeys(name.partition("/")[0] for name in named))
        classes = dict.fromkeys(named.values())
        cells = [[each, *(number(plain.get(f"{measure}/{each}")) for measure in measures)] for each in classes]
        return ["", *table(["class", *(f"{self.split}/{name}" for name in measures)], cells, left=[0])] if cells else []


def evaluate(wanted: Wanted) -> Measured:
    """Measure a trial's best state, and record what came of it.

    UsageError and DataError before anything is computed where the name, the trial, its state, the split or the data
    are not there, or not what they were.
    """
    with SweepFolder.to_read(wanted.results, wanted.name) as folder:
        kept = Kept.read(folder, wanted.code)
    record = kept.trial(wanted.trial)
    dataset = Dataset.open(kept.job.data.path)
    _require_split(dataset, wanted.split)
    require_same_data(dataset.manifest, kept.events, dataset.path)
    state = kept.best_state(record)
    job = _job(kept, record, state, wanted.split)
    measured = Measured(
        name=kept.name,
        job=job,
        trial=record.number if kept.space else None,
        epoch=len(state["history"]),
        images=dataset.manifest.splits[wanted.split].rows,
        metrics=_measure(job, dataset, state, wanted),
        before={name: value for name, value in state["history"][-1].items() if name.startswith("val/")},
    )
    return _recorded(measured, kept, record, set(state["history"][-1]), wanted)


def _require_split(dataset: Dataset, split: str) -> None:
    facts = dataset.manifest.splits.get(split)
    if facts is None or not facts.rows:
        there = ", ".join(name for name, others in dataset.manifest.splits.items() if others.rows)
        lack = "has no split" if facts is None else "has no images in its split"
        raise DataError(f"{dataset.path} {lack} {split}. Name another with --split: {there}.")


def _job(kept: Kept, record: TrialRecord, state: Mapping[str, Any], split: str) -> Job:
    """The trial's, to be measured on the split, with all that its model needs."""
    from trainyard.training.evaluation import job_to_measure

    job = job_to_measure(kept.job, record.values, state, split)
    if own_models(job, None) and not job.directory.is_dir():
        raise UsageError(
            f"{kept.name}: the code of {job.model.name} was in {job.directory}, which is gone. Name the folder where "
            "it is now: --code DIR."
        )
    require_files(job)
    require_same_extraction(job, kept.events, kept.name)
    return job


def _measure(job: Job, dataset: Dataset, state: Mapping[str, Any], wanted: Wanted) -> dict[str, float]:
    from trainyard.training.evaluation import measure, read_parts_here
    from trainyard.training.member import Member
    from trainyard.training.process import prepare_process

    prepare_process(wanted.cpus or cpus_here())
    device = _device(job, wanted.device)
    parts = read_parts_here(job, dataset, device)
    return measure(job, dataset.manifest, parts, state, member=Member(device=device), directory=job.directory)


def _device(job: Job, wanted: Device | None) -> Device:
    """That which the job's workers have, if this machine has one; UsageError for a GPU that was asked for and isn't."""
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UsageError("--device cuda: torch finds no GPU on this machine. Leave it out to measure on the CPU.")
    return wanted or ("cuda" if there and job.resources.gpus_per_worker else "cpu")


def _recorded(
    measured: Measured, kept: Kept, record: TrialRecord, trained: Collection[str], wanted: Wanted
) -> Measured:
    """With what became of it in MLflow. trained: the metrics that the training has recorded, epoch by epoch."""
    from trainyard.tracking.late import record_metrics

    split = measured.split
    if split in {name.partition("/")[0] for name in (*trained, "best/epoch")}:
        told = f"Not recorded: {split}/... in MLflow are the metrics of the training's own epochs."
        return replace(measured, told=told)
    try:
        uri = tracking_uri(wanted.results)
        record_metrics(uri, kept.starts[0].sweep_id, record.number, measured.metrics, step=measured.epoch)
    except (TrackingError, UsageError) as error:
        verb = "train" if measured.trial is None else "sweep"
        return replace(
            measured,
            undelivered=TrackingError(
                f"Not recorded in MLflow: {error}\nWhen that is mended, measure again. A run that is missing is "
                f"delivered by: trainyard {verb} --resume {kept.name}{results_option(wanted.results)}"
            ),
        )
    run = kept.name if measured.trial is None else f"trial-{measured.trial}"
    told = f"Recorded in MLflow, in the run {run} at step {measured.epoch}."
    return replace(measured, recorded=True, told=told)
