"""How many steps a metric took to reach its target."""

from collections.abc import Mapping, Sequence

from trainyard.spec.job import Job
from trainyard.spec.tasks import STEPS_TO_TARGET, metric_mode


class StepsToTarget:
    """The metric `val/steps_to_target`: the steps at the end of the first epoch in which the target was reached.

    It is absent, and no number, until then. It follows from the epochs so far alone, so a trial that goes on from a
    checkpoint has it right.
    """

    def __init__(self, job: Job, *, steps_per_epoch: int) -> None:
        self._target = job.training.target
        self._steps_per_epoch = steps_per_epoch
        self._sign = 1
        if self._target and metric_mode(job.task, self._target.metric) == "min":
            self._sign = -1

    def of(self, metrics: Mapping[str, float], before: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """To add to the metrics of an epoch; before: those of the epochs before it."""
        if self._target is None:
            return {}
        if before and STEPS_TO_TARGET in before[-1]:
            return {STEPS_TO_TARGET: before[-1][STEPS_TO_TARGET]}
        # A comparison with NaN is false.
        reached = self._sign * (metrics[self._target.metric] - self._target.value) >= 0
        return {STEPS_TO_TARGET: float(self._steps_per_epoch * (len(before) + 1))} if reached else {}
