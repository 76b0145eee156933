"""When to stop because a metric no longer improves."""

from collections.abc import Iterable, Mapping
from typing import Self

from trainyard.spec.job import Job
from trainyard.spec.tasks import Mode, metric_mode
from trainyard.spec.training import EarlyStopping as Settings


class EarlyStopping:
    """Counts the epochs since the metric last improved by more than min_delta."""

    def __init__(self, settings: Settings, mode: Mode) -> None:
        self._settings = settings
        self._sign = 1 if mode == "max" else -1
        self._best: float | None = None
        self._epochs_since = 0

    @classmethod
    def of(cls, job: Job) -> Self | None:
        """As the job asks for; None if it doesn't."""
        settings = job.training.early_stopping
        if settings is None:
            return None
        mode = metric_mode(job.task, settings.metric)
        assert mode is not None, "a job names metrics of its task"
        return cls(settings, mode)

    def observe(self, metrics: Mapping[str, float]) -> None:
        value = metrics[self._settings.metric]
        if self._best is None or self._sign * (value - self._best) > self._settings.min_delta:
            self._best, self._epochs_since = value, 0
        else:
            self._epochs_since += 1

    @property
    def reason(self) -> str | None:
        """Why to stop now; None: go on."""
        if self._epochs_since < self._settings.patience:
            return None
        return f"early stopping: {self._settings.metric} has not improved for {self._epochs_since} epochs"

    def restart(self, history: Iterable[Mapping[str, float]]) -> None:
        """Forget what was observed, and observe these epochs."""
        self._best, self._epochs_since = None, 0
        for metrics in history:
            self.observe(metrics)
