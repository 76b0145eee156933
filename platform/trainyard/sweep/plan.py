"""What a sweep would do on a cluster: slots, crews, rungs and epochs. A pure function of declared values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainyard.data.loading import SHARE_WHEN_FORCED, DataPlan, plan_data, readable
from trainyard.data.manifest import Manifest
from trainyard.data.shapes import DecodeSettings, decoded_row_bytes
from trainyard.errors import InfeasibleError
from trainyard.spec.fitting import training_copies
from trainyard.spec.job import Job
from trainyard.spec.models.promptable import Sam
from trainyard.spec.models.svm import Svm
from trainyard.spec.search import Asha, Hyperband
from trainyard.spec.space import Space
from trainyard.sweep.places import (
    Node,
    gpus_of_trial,
    places_for_workers,
    require_room,
    share_of_crew,
    smallest_store,
    training_nodes,
    trials_at_a_time,
)
from trainyard.sweep.search.points import trial_count
from trainyard.tasks.fitting import rows_trained_on

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

    slots: trials at a time. workers: the fewest and the most processes that train one trial. rungs: the epochs at which
    the scheduler may stop trials. epochs: the most that are trained in all; `expected_epochs` with the scheduler's
    stops, assuming that each rung lets one in `reduction_factor` pass. data: how the splits get to the workers, where
    the data set is known; extraction: the same where something is extracted from them, and shared in their place. room:
    whether the nodes that there are by now have room for any trial; else the one slot waits. crew_share: workers of
    each trial where the slots share the nodes evenly.
    """

    slots: int
    workers: tuple[int, int]
    trials: int
    epochs_per_trial: int
    rungs: tuple[int, ...]
    expected_epochs: int
    cpus: float = 0.0
    gpus: float = 0.0
    cluster_cpus: float = 0.0
    cluster_gpus: float = 0.0
    data: DataPlan | None = None
    extraction: ExtractionPlan | None = None
    room: bool = True
    crew_share: int = 1

    @property
    def crews(self) -> int:
        """How many crews are kept warm: one a slot, none where a trial has one worker."""
        return self.slots if self.workers[1] > 1 else 0

    @property
    def workers_each(self) -> str:
        """For people: `2`, or `1 to 4`."""
        return _range(*self.workers)

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
            "workers_per_trial": self.workers[1] if self.workers[0] == self.workers[1] else list(self.workers),
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


def make_data_plan(job: Job, manifest: Manifest, nodes: Sequence[Node], *, trials: int = 1) -> DataPlan:
    """How a job's splits get to `trials` trials at a time on `nodes`; InfeasibleError where they can't as it wants.

    Each node on which a worker may be has a copy of what is cached, so the one with the smallest store decides.
    """
    places = training_nodes(job, nodes)
    return plan_data(
        manifest,
        job.data,
        free=smallest_store(places),
        where=SMALLEST_STORE,
        streams=math.ceil(trials * job.resources.most_workers / max(1, len(places))),
    )


def make_plan(job: Job, space: Space, nodes: Sequence[Node], manifest: Manifest | None = None) -> Plan:
    """Fit the sweep of `space` for `job` onto `nodes`; InfeasibleError where not even one trial fits.

    manifest: of the job's data set, if there is one yet.
    """
    resources = job.resources
    trials = trial_count(space, job)
    require_room(job, nodes)
    slots = slots_on(job, space, nodes)
    workers = resources.least_workers, resources.most_workers
    rungs = make_rungs(job, space)
    plan = Plan(
        slots=slots,
        workers=workers,
        trials=trials,
        epochs_per_trial=job.training.epochs,
        rungs=rungs,
        expected_epochs=_expected_epochs(trials, rungs, job.training.epochs, _factor(space)),
        data=None if manifest is None or job.model.extracts else make_data_plan(job, manifest, nodes, trials=slots),
        extraction=None if manifest is None else make_extraction_plan(job, manifest, nodes),
    )
    return _counted(plan, job, nodes)


def slots_on(job: Job, space: Space, nodes: Sequence[Node]) -> int:
    """Trials at a time: as many as the nodes have places for, no more than are wanted. One where there are none: the
    sweep then waits for nodes."""
    fits = max(1, trials_at_a_time(job, nodes))
    return min(fits, trial_count(space, job), space.search.max_concurrent or fits)


def replanned(plan: Plan, job: Job, space: Space, nodes: Sequence[Node]) -> Plan:
    """The same sweep when its cluster has these nodes."""
    room = trials_at_a_time(job, nodes) > 0
    return _counted(replace(plan, slots=slots_on(job, space, nodes), room=room), job, nodes)


def _counted(plan: Plan, job: Job, nodes: Sequence[Node]) -> Plan:
    """With the CPUs and GPUs that it takes, and that there are."""
    workers = plan.slots * plan.workers[1]
    if not job.model.fitted:
        workers = min(workers, places_for_workers(job, nodes))
    return replace(
        plan,
        cpus=workers * job.resources.cpus_per_worker,
        gpus=workers * gpus_of_trial(job),
        cluster_cpus=sum(node.get("CPU", 0.0) for node in nodes),
        cluster_gpus=sum(node.get("GPU", 0.0) for node in nodes),
        crew_share=share_of_crew(job, nodes, plan.slots),
    )


def make_extraction_plan(job: Job, manifest: Manifest, nodes: Sequence[Node]) -> ExtractionPlan | None:
    """None for a model that is trained on images; InfeasibleError where what is extracted doesn't fit a node.

    Each node on which a worker may be has a copy, so the one with the smallest store decides.
    """
    return plan_extraction(job, manifest, free=smallest_store(training_nodes(job, nodes)), where=SMALLEST_STORE)


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


def _range(least: int, most: int) -> str:
    return f"{least}" if least == most else f"{least} to {most}"
