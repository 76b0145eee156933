"""Curves of a sweep's trials, read back from a real store."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from trainyard.errors import UsageError
from trainyard.tracking.compare import read_sweep
from trainyard.tracking.curves import SweepCurves, read_curves
from trainyard.tracking.events import Best, Event, SweepEnded, SweepStarted, TrialEnded, TrialEpoch, TrialStarted

JOB = {"name": "digits", "optimizer": {"lr": 0.1, "name": "adam"}, "training": {"epochs": 3}}


def trial(
    number: int,
    epochs: Sequence[Mapping[str, float]],
    *,
    values: Mapping[str, Any] | None = None,
    state: Any = "finished",
) -> list[Event]:
    """The events of a trial whose best accuracy is that of its last epoch."""
    values = {"optimizer.lr": 0.1 / (number + 1), "optimizer.name": "adam"} if values is None else values
    last = epochs[-1].get("val/accuracy") if epochs else None
    best = [] if last is None else [Best(metric="val/accuracy", value=last, epoch=len(epochs))]
    return [
        TrialStarted(trial=number, values=values),
        *(TrialEpoch(trial=number, epoch=at, metrics=metrics) for at, metrics in enumerate(epochs, 1)),
        TrialEnded(trial=number, state=state, best=best),
    ]


def accuracies(*values: float) -> list[dict[str, float]]:
    return [{"val/accuracy": value, "val/loss": 1 - value} for value in values]


@pytest.fixture
def curves(recording: Any, store: str) -> Callable[..., SweepCurves]:
    """Records a sweep of these events and reads its curves."""

    def read(*events: Sequence[Event], objectives: Any = (("val/accuracy", "max"),), **options: Any) -> SweepCurves:
        with recording() as recorder:
            recorder.send(SweepStarted(name="s", job=JOB, objectives=objectives))
            for event in [event for part in events for event in part]:
                recorder.send(event)
        return read_curves(store, read_sweep(store, "s"), **options)

    return read


def test_the_objective_of_every_trial_the_best_first(curves: Callable[..., SweepCurves]) -> None:
    found = curves(
        trial(0, accuracies(0.25, 0.5)), trial(1, accuracies(0.5, 0.75, 0.875)), [SweepEnded(state="finished")]
    )

    assert (found.sweep, found.state, found.axis, found.metrics) == ("s", "finished", "epoch", ("val/accuracy",))
    assert [item.row.trial for item in found.trials] == [1, 0]
    best = found.trials[0].curves["val/accuracy"]
    assert (best.x, best.y) == ((1, 2, 3), (0.5, 0.75, 0.875))


def test_several_metrics_each_once(curves: Callable[..., SweepCurves]) -> None:
    found = curves(trial(0, accuracies(0.25, 0.5)), metrics=["val/loss", "val/accuracy", "val/loss"])

    assert found.metrics == ("val/loss", "val/accuracy")
    assert found.trials[0].curves["val/loss"].y == (0.75, 0.5)


def test_what_is_no_number_is_read_as_it_was(curves: Callable[..., SweepCurves]) -> None:
    found = curves(trial(0, accuracies(0.5, math.nan, math.inf), state="diverged"))

    curve = found.trials[0].curves["val/accuracy"]
    assert curve.finite == [(1, 0.5)]
    assert math.isnan(curve.y[1])
    assert curve.y[2] == math.inf


def test_a_running_sweep_has_the_curves_so_far(curves: Callable[..., SweepCurves]) -> None:
    found = curves(trial(0, accuracies(0.25))[:-1], [TrialStarted(trial=1)])

    assert found.state == "running"
    assert [(item.row.trial, len(item.curves)) for item in found.trials] == [(0, 1), (1, 0)]


def test_only_the_best(curves: Callable[..., SweepCurves]) -> None:
    found = curves(*(trial(number, accuracies(number / 8)) for number in range(4)), most=2)

    assert [item.row.trial for item in found.trials] == [3, 2]
    assert found.of == 4


def test_epochs_of_stated_length_are_told_in_steps(curves: Callable[..., SweepCurves]) -> None:
    steps = {"training.steps_per_epoch": 200}
    found = curves(trial(0, accuracies(0.25, 0.5), values=steps), trial(1, accuracies(0.5), values=steps))

    assert found.axis == "step"
    assert [item.curves["val/accuracy"].x for item in found.trials] == [(200, 400), (200,)]


def test_where_only_some_state_it_epochs_are_epochs(curves: Callable[..., SweepCurves]) -> None:
    some, none = {"training.steps_per_epoch": 200}, {"training.steps_per_epoch": None}
    found = curves(trial(0, accuracies(0.25, 0.5), values=some), trial(1, accuracies(0.5), values=none))

    assert found.axis == "epoch"
    assert found.trials[0].curves["val/accuracy"].x == (1, 2)


class TestLabels:
    def test_what_varies(self, curves: Callable[..., SweepCurves]) -> None:
        found = curves(trial(0, accuracies(0.25)), trial(1, accuracies(0.5)))

        assert [item.values for item in found.trials] == [{"optimizer.lr": 0.05}, {"optimizer.lr": 0.1}]

    def test_what_only_some_trials_have_varies(self, curves: Callable[..., SweepCurves]) -> None:
        with_gamma = {"loss.focal.weight": 0.5, "loss.focal.gamma": 2.0}
        found = curves(
            trial(0, accuracies(0.25), values={"loss.focal.weight": 0.5}),
            trial(1, accuracies(0.5), values=with_gamma),
        )

        assert [item.values for item in found.trials] == [{"loss.focal.gamma": 2.0}, {}]

    def test_what_was_asked_for_also_if_it_was_not_sampled(self, curves: Callable[..., SweepCurves]) -> None:
        found = curves(trial(0, accuracies(0.25)), labels=["training.epochs", "optimizer.name"])

        assert found.trials[0].values == {"training.epochs": 3, "optimizer.name": "adam"}

    def test_an_unknown_setting_is_refused(self, curves: Callable[..., SweepCurves]) -> None:
        with pytest.raises(
            UsageError, match=r"No trial of sweep s has a setting optimizer\.lrr\. Did you mean optimizer\.lr\?"
        ):
            curves(trial(0, accuracies(0.25)), labels=["optimizer.lrr"])


class TestRefused:
    def test_a_metric_that_there_is_not(self, curves: Callable[..., SweepCurves]) -> None:
        with pytest.raises(UsageError) as refused:
            curves(trial(0, accuracies(0.25)), metrics=["val/acuracy"])

        assert str(refused.value) == (
            "No trial of sweep s has a metric val/acuracy. Did you mean val/accuracy? "
            "There are: val/accuracy and val/loss."
        )

    def test_a_sweep_without_an_epoch(self, curves: Callable[..., SweepCurves]) -> None:
        with pytest.raises(UsageError, match="No trial of sweep s has finished an epoch yet"):
            curves([TrialStarted(trial=0)])

    def test_a_metric_that_is_never_finite(self, curves: Callable[..., SweepCurves]) -> None:
        with pytest.raises(
            UsageError, match="val/accuracy is not a finite number in any epoch of these trials of sweep s"
        ):
            curves(trial(0, accuracies(math.nan, math.inf), state="diverged"))
