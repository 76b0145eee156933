"""What a sweep would do on a cluster: slots, crews, rungs and epochs. A pure function of declared values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.data.loading import SHARE_WHEN_FORCED, DataPlan, plan_data, readable
from trainyard.data.manifest import Manifest
from trainyard.data.shapes import DecodeSettings, decoded_row_bytes
from trainyard.errors import InfeasibleError
from trainyard.spec.fitting import training_copies
from trainyard.spec.job import Job
from trainyard.spec.models.promptable import Sam
from trainyard.spec.models.svm import Svm
from trainyard.spec.search import Asha, Hyperband, Pbt
from trainyard.spec.space import Space
from trainyard.sweep.points import trial_count
from trainyard.tasks.fitting import rows_trained_on

Node = Mapping[str, float]
"""One node's resources, as Ray counts them: {"CPU": 16, "GPU": 1}; `object_store_memory` is what its store has free."""

NO_LIMIT = 2**62
"""Bytes of a store of which nothing is known."""

SMALLEST_STORE = "the smallest object store of the nodes"


@dataclass(frozen=True, kw_only=True)
class ExtractionPlan:
    """What is extracted before the first trial, once for all: `features of vgg16`, for so many rows of each split.

    nbytes: of the columns, by split, where that is known without building a network.
    """

    what: str
    rows: Mapping[str, int]
    nbytes: Mapping[str, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--format json`."""
        return {"what": self.what, "rows": dict(self.rows), **({"bytes": dict(self.nbytes)} if self.nbytes else {})}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a sweep fits the cluster.

    slots: trials at a time. workers: processes that train one trial (more than one: a crew). rungs: the epochs at which
    the scheduler may stop trials. epochs: the most that are trained in all; `expected_epochs` with the scheduler's
    stops, assuming that each rung lets one in `reduction_factor` pass. data: how the splits get to the workers, where
    the data set is known; extraction: the same where something is extracted from them, and shared in their place.
    """

    slots: int
    workers: int
    trials: int
    epochs_per_trial: int
    rungs: tuple[int, ...]
    expected_epochs: int
    cpus: float
    gpus: float
    cluster_cpus: float
    cluster_gpus: float
    data: DataPlan | None = None
    extraction: ExtractionPlan | None = None

    @property
    def crews(self) -> int:
        """How many crews are kept warm: one a slot, none where a trial has one worker."""
        return self.slots if self.workers > 1 else 0

    @property
    def epochs(self) -> int:
        """Epochs in all, if no trial is stopped before its end."""
        return self.trials * self.epochs_per_trial

    def as_dict(self) -> dict[str, Any]:
        """For `--format json`."""
        data = {} if self.data is None else {"data": self.data.as_dict()}
        extraction = {} if self.extraction is None else {"extraction": self.extraction.as_dict()}
        return {
            "slots": self.slots,
            "crews": self.crews,
            "workers_per_trial": self.workers,
            "trials": self.trials,
            "rungs": list(self.rungs),
            "epochs_per_trial": self.epochs_per_trial,
            "epochs_at_most": self.epochs,
            "epochs_expected": self.expected_epochs,
            "cpus_used": self.cpus,
            "gpus_used": self.gpus,
            "cluster": {"cpus": self.cluster_cpus, "gpus": self.cluster_gpus},
            **data,
            **extraction,
        }


def gpus_of_trial(job: Job) -> float:
    """GPUs of each worker while it trains: of a model that is fitted at once, only the extraction has any."""
    return 0.0 if job.model.fitted else job.resources.gpus_per_worker


def trials_that_fit(job: Job, nodes: Sequence[Node]) -> int:
    """How many trials of the job `nodes` can train at a time; InfeasibleError where it is not even one."""
    resources = job.resources
    places = sum(_places(node, resources.cpus_per_worker, resources.gpus_per_worker) for node in nodes)
    if places < resources.workers:
        raise InfeasibleError(_too_small(job, nodes, places))
    if job.model.fitted:
        return sum(_places(node, resources.cpus_per_worker, 0.0) for node in nodes)
    return places // resources.workers


def make_data_plan(job: Job, manifest: Manifest, nodes: Sequence[Node], *, trials: int = 1) -> DataPlan:
    """How a job's splits get to `trials` trials at a time on `nodes`; InfeasibleError where they can't as it wants.

    Each node on which a worker may be has a copy of what is cached, so the one with the smallest store decides.
    """
    places = _training_nodes(job, nodes)
    return plan_data(
        manifest,
        job.data,
        free=_smallest_store(places),
        where=SMALLEST_STORE,
        streams=math.ceil(trials * job.resources.workers / max(1, len(places))),
    )


def _training_nodes(job: Job, nodes: Sequence[Node]) -> list[Node]:
    """Those on which a worker may be."""
    resources = job.resources
    return [node for node in nodes if _places(node, resources.cpus_per_worker, resources.gpus_per_worker)]


def _smallest_store(nodes: Sequence[Node]) -> int:
    return int(min((node.get("object_store_memory", NO_LIMIT) for node in nodes), default=NO_LIMIT))


def make_plan(job: Job, space: Space, nodes: Sequence[Node], manifest: Manifest | None = None) -> Plan:
    """Fit the sweep of `space` for `job` onto `nodes`; InfeasibleError where not even one trial fits.

    manifest: of the job's data set, if there is one yet.
    """
    resources = job.resources
    trials = trial_count(space, job)
    fits = trials_that_fit(job, nodes)
    slots = min(fits, trials, space.search.max_concurrent or fits)
    if isinstance(space.search.scheduler, Pbt | Hyperband) and resources.workers > 1 and trials > slots:
        raise InfeasibleError(
            f"{space.search.scheduler.name} keeps all its trials alive, and {slots} crews of {resources.workers} "
            f"workers fit the cluster, got trials={trials}. Set --trials {slots}, resources.workers=1, or the "
            "scheduler asha."
        )
    rungs = make_rungs(job, space)
    return Plan(
        slots=slots,
        workers=resources.workers,
        trials=trials,
        epochs_per_trial=job.training.epochs,
        rungs=rungs,
        expected_epochs=_expected_epochs(trials, rungs, job.training.epochs, _factor(space)),
        cpus=slots * resources.workers * resources.cpus_per_worker,
        gpus=slots * resources.workers * gpus_of_trial(job),
        cluster_cpus=sum(node.get("CPU", 0.0) for node in nodes),
        cluster_gpus=sum(node.get("GPU", 0.0) for node in nodes),
        data=None if manifest is None or job.model.extracts else make_data_plan(job, manifest, nodes, trials=slots),
        extraction=None if manifest is None else make_extraction_plan(job, manifest, nodes),
    )


def make_extraction_plan(job: Job, manifest: Manifest, nodes: Sequence[Node]) -> ExtractionPlan | None:
    """None for a model that is trained on images; InfeasibleError where what is extracted doesn't fit a node.

    Each node on which a worker may be has a copy, so the one with the smallest store decides.
    """
    return plan_extraction(job, manifest, free=_smallest_store(_training_nodes(job, nodes)), where=SMALLEST_STORE)


def plan_extraction(job: Job, manifest: Manifest, *, free: int, where: str) -> ExtractionPlan | None:
    """The same for a memory of which so many bytes are free. where: what that memory is, for messages."""
    splits = job.data.train_split, job.data.evaluate_split
    rows = {split: manifest.splits[split].rows for split in splits}
    match job.model:
        case Svm(features=extractor):
            return ExtractionPlan(what=f"features of {extractor.architecture} ({extractor.pool})", rows=rows)
        case Sam() as model if model.extracts:
            trained_on = rows_trained_on(job, manifest)
            # Of one split for both, the rows are there once more beside those with copies.
            beside = rows[splits[1]] if splits[0] == splits[1] and training_copies(job) else 0
            rows[splits[0]] = trained_on + beside
            settings = DecodeSettings.of(job.data, manifest, job.prompts)
            row_bytes = model.embedding_bytes + decoded_row_bytes(manifest, splits[0], settings, job.data.path)
            nbytes = {split: count * row_bytes for split, count in rows.items()}
            _require_room(nbytes, free, where)
            return ExtractionPlan(what=f"embeddings of {model.architecture}", rows=rows, nbytes=nbytes)
    return None


def _require_room(nbytes: Mapping[str, int], free: int, where: str) -> None:
    room = int(SHARE_WHEN_FORCED * free)
    if sum(nbytes.values()) > room:
        sizes = " and ".join(f"{split} ({readable(size)})" for split, size in nbytes.items())
        raise InfeasibleError(
            f"the embeddings of {sizes} don't fit {where}, which has room for {readable(room)}. Set fewer "
            "model.embeddings.copies, or model.embeddings=each_step, or take machines with more memory."
        )


def make_rungs(job: Job, space: Space) -> tuple[int, ...]:
    """The epochs at which successive halving decides: grace, grace x factor, ... below the last epoch."""
    match space.search.scheduler:
        case Asha(grace=first, reduction_factor=factor):
            pass
        case Hyperband(reduction_factor=factor):
            first = 1
        case _:
            return ()
    rungs = [first]
    while rungs[-1] * factor < job.training.epochs:
        rungs.append(rungs[-1] * factor)
    return tuple(rung for rung in rungs if rung < job.training.epochs)


def _expected_epochs(trials: int, rungs: Sequence[int], epochs: int, factor: float) -> int:
    """Of the trials that reach a rung, about one in `factor` passes it."""
    total, alive, before = 0.0, float(trials), 0
    for rung in [*rungs, epochs]:
        total += alive * (rung - before)
        before, alive = rung, max(alive / factor, 1.0)
    return math.ceil(total)


def _factor(space: Space) -> int:
    scheduler = space.search.scheduler
    return scheduler.reduction_factor if isinstance(scheduler, Asha | Hyperband) else 1


def _places(node: Node, cpus: float, gpus: float) -> int:
    """How many workers fit on a node."""
    by_cpu = node.get("CPU", 0.0) // cpus if cpus else math.inf
    # Rounded first, since 1.0 // 0.1 is 9.
    by_gpu = math.floor(round(node.get("GPU", 0.0) / gpus, 6)) if gpus else math.inf
    return int(min(by_cpu, by_gpu))


def _too_small(job: Job, nodes: Sequence[Node], places: int) -> str:
    resources = job.resources
    largest_cpu = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    largest_gpu = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    return (
        f"{job.name} needs {resources.workers} worker{'s' if resources.workers > 1 else ''} with "
        f"{resources.cpus_per_worker} CPU and {resources.gpus_per_worker:g} GPU each, and {places} such "
        f"place{'s' if places != 1 else ''} fit{'s' if places == 1 else ''} the cluster "
        f"({len(nodes)} node{'s' if len(nodes) != 1 else ''}, the largest with {largest_cpu:g} CPU and "
        f"{largest_gpu:g} GPU). Lower resources.workers, cpus_per_worker or gpus_per_worker, or add nodes."
    )
