"""Metrics that are measured after a trial has trained: straight into its run in MLflow, without a journal.

The journal belongs to whoever trains, and may be written while a trial of it is measured.
"""

import time
from collections.abc import Mapping
from typing import Any

from trainyard.errors import TrackingError, UsageError
from trainyard.tracking.client import call, search_experiments, search_runs
from trainyard.tracking.compare import reading
from trainyard.tracking.names import allowed, number
from trainyard.tracking.uri import masked

_MOST = 1000
"""Metrics that MLflow takes at a time."""


def record_metrics(uri: str, sweep_id: str, trial: int, metrics: Mapping[str, float], *, step: int) -> None:
    """Add metrics to a trial's run, at a step. Those that are there with these values stay as they are.

    sweep_id: of the journal's first event. TrackingError if MLflow does not take them, or has no run of the trial.
    """
    try:
        with reading(uri) as client:
            run = _run_of(client, sweep_id, trial)
            if run is None:
                raise TrackingError(f"{masked(uri)} has no run of trial {trial}.")
            wanted = {allowed(name): number(value) for name, value in metrics.items()}
            there = run.data.metrics
            fresh = {name: value for name, value in wanted.items() if not _equal(there.get(name), value)}
            _log(client, run.info.run_id, fresh, step)
    except UsageError as error:
        raise TrackingError(str(error)) from error


def _run_of(client: Any, sweep_id: str, trial: int) -> Any:
    """The trial's run; that of a training has no number, and there is no other."""
    condition = f"tags.`trainyard.sweep_id` = '{sweep_id}' AND tags.`trainyard.kind` = 'trial'"
    runs = search_runs(client, search_experiments(client), condition)
    return next((run for run in runs if int(run.data.tags.get("trainyard.trial", trial)) == trial), None)


def _equal(there: float | None, value: float) -> bool:
    return there == value or (there is not None and there != there and value != value)


def _log(client: Any, run_id: str, metrics: Mapping[str, float], step: int) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    written = [Metric(name, value, now, step) for name, value in metrics.items()]
    for start in range(0, len(written), _MOST):
        call(client.log_batch, run_id, metrics=written[start : start + _MOST])
