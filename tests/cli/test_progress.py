"""What the events of a sweep amount to."""

import math
import time
from dataclasses import replace

import pytest

from trainyard.cli.progress import TOP, Progress
from trainyard.sweep.plan import Plan
from trainyard.tracking.events import Event, SweepEnded, TrialEpoch, TrialStarted

from .conftest import OBJECTIVES, sweep_started, trained


def progress_of(events: list[Event], plan: Plan | None = None) -> Progress:
    progress = Progress("sweep", OBJECTIVES)
    progress.plan = plan
    for event in events:
        progress.take(event)
    return progress


def test_ended_trials_are_counted_by_state(events: list[Event], plan: Plan) -> None:
    progress = progress_of(events, plan)

    assert progress.counts == {"finished": 1, "pruned": 1, "failed": 1, "diverged": 1}
    assert (progress.done, progress.total, progress.running) == (4, 4, {})
    assert (progress.state, progress.ended) == ("finished", 61.0)


def test_the_best_is_known_while_it_runs(plan: Plan) -> None:
    progress = progress_of([sweep_started(), *trained(0, [0.5]), *trained(1, [0.3, 0.8, 0.7])[:-1]], plan)

    assert progress.leader is not None
    assert (progress.leader.number, progress.leader.best, progress.leader.best_epoch) == (1, 0.8, 2)
    assert [trial.number for trial in progress.best] == [0]


def test_less_is_better_with_min() -> None:
    progress = Progress("sweep", [("val/loss", "min")])
    progress.take(TrialStarted(trial=0))
    for epoch, loss in enumerate([0.5, 0.3, math.nan, 0.4], 1):
        progress.take(TrialEpoch(trial=0, epoch=epoch, metrics={"val/loss": loss}))

    assert progress.trials[0].best == 0.3
    assert progress.trials[0].now == 0.4


def test_only_the_best_are_kept_in_order() -> None:
    progress = progress_of([event for trial in range(30) for event in trained(trial, [trial / 100])])

    assert [trial.number for trial in progress.best] == list(range(29, 29 - TOP, -1))


def test_an_epoch_that_comes_again_is_not_counted() -> None:
    events = [TrialStarted(trial=0), TrialEpoch(trial=0, epoch=1, metrics={"val/accuracy": 0.5})]

    progress = progress_of([*events, TrialEpoch(trial=0, epoch=1, metrics={"val/accuracy": 0.9})])

    assert progress.trials[0].best == 0.5


def test_time_left_follows_from_the_plan_and_the_rate(plan: Plan) -> None:
    """One trial of 8 epochs took 8 s; 3 more, for which the plan's guess of 4 epochs is mixed with the 8."""
    progress = progress_of([sweep_started(), *trained(0, [0.5] * 8)], plan)

    each = (2 * 4 + 8) / 3
    assert progress.ends_at == pytest.approx(8 + 3 * each)


def test_the_start_of_the_slots_does_not_count_for_the_rate(plan: Plan) -> None:
    events = trained(0, [0.5] * 8, start=100)
    events[0] = replace(events[0], time=0.0)  # type: ignore[arg-type]

    progress = progress_of([sweep_started(), *events], plan)

    assert progress.ends_at == pytest.approx(108 + 16)


def test_what_was_interrupted_goes_on_after_a_resume(plan: Plan) -> None:
    first = [sweep_started(), *trained(0, [0.9]), *trained(1, [0.5, 0.6])[:-1]]
    progress = progress_of([*first, SweepEnded(state="interrupted")], plan)
    assert progress.trials[1].state == "interrupted"

    for event in [sweep_started(100.0), *trained(1, [0.5, 0.6, 0.95], start=100)]:
        progress.take(event)

    assert progress.counts == {"finished": 2}
    assert progress.trials[1].epochs == 3
    assert progress.leader is progress.trials[1]


def test_what_a_killed_driver_left_running_does_not_run(plan: Plan) -> None:
    progress = progress_of([sweep_started(), *trained(0, [0.5])[:-1], sweep_started(50.0)], plan)

    assert progress.running == {}
    assert progress.trials[0].state == "interrupted"


def test_rows_are_ranked(events: list[Event]) -> None:
    rows = progress_of(events).rows()

    assert [row.trial for row in rows] == [0, 3, 1, 2]
    assert (rows[0].best_epoch, rows[0].seconds, rows[0].objectives) == (3, 3.0, {"val/accuracy": 0.9})


def test_an_event_costs_less_than_a_millisecond(plan: Plan) -> None:
    """Whatever the number of trials; the best of three, as other tests may run beside this one."""
    progress = progress_of([event for trial in range(3000) for event in trained(trial, [0.5])], plan)
    events = [event for trial in range(3000, 3100) for event in trained(trial, [0.5] * 3)]

    def seconds() -> float:
        start = time.process_time()
        for event in events:
            progress.take(event)
        return (time.process_time() - start) / len(events)

    assert min(seconds() for _ in range(3)) < 1e-4
