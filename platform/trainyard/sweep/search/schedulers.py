"""Ray Tune's schedulers, by the names that a space uses. Their time is the epoch, never the count of reports."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from trainyard.spec.job import Job
from trainyard.spec.search import Asha, Hyperband, Median, NoScheduler, Pbt
from trainyard.spec.space import Space
from trainyard.sweep.record import TrialRecord
from trainyard.sweep.search.brackets import Brackets
from trainyard.sweep.search.population import Population


def build_scheduler(job: Job, space: Space) -> TrialScheduler:
    """The scheduler that the space declares, for the job's first objective and number of epochs."""
    objective, epochs = job.objectives[0], job.training.epochs
    common: dict[str, Any] = {"time_attr": "epoch", "metric": objective.metric, "mode": objective.mode}
    match space.search.scheduler:
        case Asha(grace=grace, reduction_factor=factor):
            return AsyncHyperBandScheduler(**common, max_t=epochs, grace_period=grace, reduction_factor=factor)
        case Median(grace=grace):
            # A slice as long as the trial: the rule would otherwise pause a trial whenever another waits.
            return MedianStoppingRule(**common, grace_period=grace, min_time_slice=epochs)
        case Hyperband(reduction_factor=factor):
            return Brackets(**common, max_t=epochs, reduction_factor=factor)
        case Pbt() as settings:
            return Population(job, space, settings, **common)
        case NoScheduler():
            return FIFOScheduler()


def pauses_trials(space: Space) -> bool:
    """Whether the scheduler pauses trials and wakes them, and so keeps more of them alive than there are slots."""
    return isinstance(space.search.scheduler, Hyperband | Pbt)


@dataclass(frozen=True)
class PastTrial:
    """Stands for a trial of an earlier driver. Schedulers know a trial by its identity and its `trial_id`."""

    trial_id: str


def remember(scheduler: TrialScheduler, past: Iterable[tuple[TrialRecord, list[dict[str, float]]]]) -> None:
    """Let a scheduler know the ended trials of a resumed sweep, so that it goes on judging by them.

    ASHA and the median rule are functions of the results so far. Hyperband's brackets and a population belong to the
    driver that ran them: they begin anew with the trials that are left.
    """
    if not isinstance(scheduler, AsyncHyperBandScheduler | MedianStoppingRule):
        return
    for record, epochs in past:
        trial: Any = PastTrial(f"past-{record.number}")
        scheduler.on_trial_add(_NoController(), trial)
        for metrics in epochs:
            scheduler.on_trial_result(_NoController(), trial, metrics)


class _NoController:
    """Schedulers look for waiting trials here; a trial of the past competes with none."""

    def get_live_trials(self) -> list[Trial]:
        return []
