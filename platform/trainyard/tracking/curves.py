"""The metrics of a sweep's trials from epoch to epoch, read back from MLflow: what a picture of curves shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainyard.errors import UsageError
from trainyard.spec.hints import close, listing
from trainyard.tracking.client import call
from trainyard.tracking.compare import Comparison, Row, reading, trial_runs
from trainyard.tracking.names import allowed, number_of, value_of

STEPS = "training.steps_per_epoch"
"""The setting by which an epoch is so many steps instead of a pass over the training split."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A metric of one trial. x: epochs or training steps, rising. y: the value at each; may be NaN or infinite."""

    x: tuple[int, ...]
    y: tuple[float, ...]

    @property
    def finite(self) -> list[tuple[int, float]]:
        """The points that can be drawn."""
        return [point for point in zip(self.x, self.y, strict=True) if math.isfinite(point[1])]


@dataclass(frozen=True, kw_only=True)
class TrialCurves:
    """One trial. values: what tells it from the others, by path of the job.

    curves: by metric; one that the trial has not reported is not among them.
    """

    row: Row
    values: Mapping[str, Any]
    curves: Mapping[str, Curve]


@dataclass(frozen=True, kw_only=True)
class SweepCurves:
    """The curves of a sweep's trials, the best trial first.

    axis: what `Curve.x` counts. of: how many trials the sweep has, of which these may be the best ones.
    """

    sweep: str
    state: str
    objectives: tuple[tuple[str, str], ...]
    axis: Literal["epoch", "step"]
    metrics: tuple[str, ...]
    trials: tuple[TrialCurves, ...]
    of: int


def read_curves(
    uri: str,
    comparison: Comparison,
    *,
    metrics: Sequence[str] = (),
    labels: Sequence[str] = (),
    most: int | None = None,
) -> SweepCurves:
    """Read the curves of the best `most` trials of a sweep, or of all.

    metrics: those of the objectives if none are named. labels: the paths whose values tell trials apart; those that
    were sampled and are not the same in all trials if none are named.

    Raises UsageError for a metric that no trial has (or has a finite value of), a setting that there is not, and when
    nobody answers at the URI. Asks once for every trial and metric: 1.5 ms each of a SQLite file.
    """
    with reading(uri) as client:
        found = trial_runs(client, comparison.experiment_id, comparison.tags["trainyard.sweep_id"])
        runs = {run.info.run_id: run for run in found}
        rows = [row for row in comparison.rows[:most] if row.run_id in runs]
        metrics = tuple(dict.fromkeys(metrics or [metric for metric, _ in comparison.objectives]))
        _check_metrics(metrics, found, comparison.sweep)
        varied = _varied(rows)
        _check_labels(labels, found, varied, comparison.sweep)
        labels = tuple(dict.fromkeys(labels)) or varied
        steps = [steps for row in rows if (steps := _steps(runs[row.run_id]))]
        in_steps = len(steps) == len(rows)
        trials = tuple(
            TrialCurves(
                row=row,
                values=_values(runs[row.run_id], labels),
                curves=_curves(client, runs[row.run_id], metrics, scale),
            )
            for row, scale in zip(rows, steps if in_steps else [1] * len(rows), strict=True)
        )
    _check_drawable(metrics, trials, comparison.sweep)
    return SweepCurves(
        sweep=comparison.sweep,
        state=comparison.state,
        objectives=comparison.objectives,
        axis="step" if in_steps else "epoch",
        metrics=metrics,
        trials=trials,
        of=len(comparison.rows),
    )


def _check_metrics(metrics: Sequence[str], runs: Sequence[Any], sweep: str) -> None:
    names = {name for run in runs for name in run.data.metrics if not name.startswith("best/")}
    if not names:
        raise UsageError(f"No trial of sweep {sweep} has finished an epoch yet, so there are no curves to draw.")
    for metric in metrics:
        if allowed(metric) not in names:
            told = f"No trial of sweep {sweep} has a metric {metric}.{close(metric, names)}"
            # Of each layer there are two: they come last, where the list is cut off.
            ordered = sorted(names, key=lambda name: (name.startswith("gradients/"), name))
            raise UsageError(f"{told} There are: {listing(ordered, last='and', most=30)}.")


def _check_labels(labels: Sequence[str], runs: Sequence[Any], varied: Sequence[str], sweep: str) -> None:
    paths = {path for run in runs for path in run.data.params}
    for label in labels:
        if allowed(label) not in paths:
            hint = close(label, paths) or (f" What varies: {listing(varied, last='and')}." if varied else "")
            raise UsageError(f"No trial of sweep {sweep} has a setting {label}.{hint}")


def _check_drawable(metrics: Sequence[str], trials: Sequence[TrialCurves], sweep: str) -> None:
    for metric in metrics:
        if not any(trial.curves[metric].finite for trial in trials if metric in trial.curves):
            raise UsageError(
                f"{metric} is not a finite number in any epoch of these trials of sweep {sweep}, so there is no curve "
                "to draw. Name another: --metric NAME"
            )


def _varied(rows: Sequence[Row]) -> tuple[str, ...]:
    """The sampled paths that are not the same in all rows; a path that some rows lack is not."""
    paths = dict.fromkeys(path for row in rows for path in row.values)
    return tuple(path for path in paths if len({repr(row.values.get(path)) for row in rows}) > 1)


def _steps(run: Any) -> int | None:
    """How many steps an epoch of this trial has, where its job states that."""
    steps = value_of(run.data.params.get(STEPS, "null"))
    return steps if isinstance(steps, int) else None


def _values(run: Any, labels: Sequence[str]) -> dict[str, Any]:
    params = run.data.params
    return {path: value_of(params[allowed(path)]) for path in labels if allowed(path) in params}


def _curves(client: Any, run: Any, metrics: Sequence[str], scale: int) -> dict[str, Curve]:
    present = [metric for metric in metrics if allowed(metric) in run.data.metrics]
    return {metric: _curve(client, run.info.run_id, metric, scale) for metric in present}


def _curve(client: Any, run_id: str, metric: str, scale: int) -> Curve:
    """The history of a metric. Of two values for one epoch the first stands, as it does in the journal."""
    values: dict[int, float] = {}
    history = call(client.get_metric_history, run_id, allowed(metric))
    for item in sorted(history, key=lambda item: (item.step, item.timestamp)):
        values.setdefault(item.step, number_of(item.value))
    return Curve(x=tuple(epoch * scale for epoch in values), y=tuple(values.values()))
