"""What the chaos run concludes from records: it has to see what is wrong, and to blame the right kill."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from faults.audit import Expected, Run, Tuned, audit
from faults.losses import Struck, by_kind, lost_seconds, usual_epoch
from faults.plan import make_plan

from trainyard.tracking.events import Event, SweepEnded, SweepStarted, TrialEnded, TrialEpoch, TrialStarted

EXPECTED = Expected(trials=2, epochs=3)
TUNED = [Tuned(trial=trial, status="TERMINATED", epoch=3, state="finished") for trial in range(2)]
STATES = ["COMPLETE", "COMPLETE"]
RUNS = [Run(trial=trial, status="FINISHED", steps=(1, 2, 3)) for trial in range(2)]


def sweep(*, seconds: float = 1.0) -> list[Event]:
    """Two trials beside each other, three epochs of a second, and their ends."""
    events: list[Event] = [TrialStarted(trial=trial, values={"model.mark": trial / 10}, time=0.0) for trial in range(2)]
    for epoch in range(1, 4):
        events += [
            TrialEpoch(trial=trial, epoch=epoch, metrics={"train/loss": 1 / epoch}, time=epoch * seconds)
            for trial in range(2)
        ]
    events += [TrialEnded(trial=trial, state="finished", time=3.1 * seconds) for trial in range(2)]
    return [*events, SweepEnded(state="finished", time=4.0 * seconds)]


def problems(
    events: Sequence[Event] | None = None,
    tuned: Sequence[Tuned] = TUNED,
    states: Sequence[str] = STATES,
    runs: Sequence[Run] = RUNS,
    status: str = "FINISHED",
) -> str:
    return "; ".join(audit(EXPECTED, sweep() if events is None else events, tuned, states, runs, status))


def test_nothing_is_wrong_with_a_sweep_that_went_well() -> None:
    assert problems() == ""


def test_a_lost_epoch_is_seen() -> None:
    events = [e for e in sweep() if not (isinstance(e, TrialEpoch) and (e.trial, e.epoch) == (1, 2))]
    assert problems(events) == "journal: trial 1 lost the epochs [2]"


def test_a_doubled_epoch_is_seen() -> None:
    again = next(event for event in sweep() if isinstance(event, TrialEpoch))
    assert problems([again, *sweep()]) == "journal: trial 0 has the epochs [1] more than once"


def test_a_trial_that_failed_or_never_ended_is_seen() -> None:
    events: list[Event] = [
        replace(e, state="failed", reason="its slot died 4 times") if isinstance(e, TrialEnded) and e.trial == 0 else e
        for e in sweep()
        if not (isinstance(e, TrialEnded) and e.trial == 1)
    ]
    assert (
        problems(events, tuned=TUNED[:1])
        == "journal: trial 0 failed: its slot died 4 times; journal: trial 1 ended 0 times"
    )


def test_a_trial_that_went_on_from_another_state_is_seen() -> None:
    events = sweep()
    events += [replace(e, trial=2) for e in sweep() if isinstance(e, TrialEpoch)]
    strange = [
        replace(e, metrics={"train/loss": 0.9}) if isinstance(e, TrialEpoch) and (e.trial, e.epoch) == (1, 2) else e
        for e in events
    ]
    assert "numbers: trial 1 had train/loss 0.9 in epoch 2, most had 0.5" in problems(strange)


def test_a_sweep_that_did_not_finish_is_seen() -> None:
    assert problems(sweep()[:-1]) == "journal: the sweep did not finish"


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        (TUNED[:1], "Tune: trial 1 is there 0 times, and should be 1 times"),
        ([*TUNED, TUNED[0]], "Tune: trial 0 is there 2 times, and should be 1 times"),
        ([], "Tune: nothing was written at its end"),
        ([TUNED[0], replace(TUNED[1], status="ERROR")], "Tune: trial 1 is ERROR, 3, finished"),
        ([TUNED[0], replace(TUNED[1], epoch=2, state=None)], "Tune: trial 1 is TERMINATED, 2, None"),
    ],
)
def test_tune_that_disagrees_is_seen(tuned: list[Tuned], said: str) -> None:
    assert problems(tuned=tuned) == said


def test_trials_that_ended_under_an_earlier_driver_are_not_asked_of_tune() -> None:
    *earlier, last, end = sweep()
    events = [*earlier, replace(last, time=4.0), end]
    resumed = SweepStarted(name="chaos", job={}, time=3.5)
    assert problems([*earlier, resumed, *events[-2:]], tuned=TUNED[1:]) == ""
    again = problems([*earlier, resumed, *events[-2:]], tuned=TUNED)
    assert again == "Tune: trial 0 is there 1 times, and should be 0 times"


@pytest.mark.parametrize(
    ("states", "said"),
    [(["COMPLETE", "RUNNING"], "Optuna: trial 1 is RUNNING"), (["COMPLETE"], "Optuna: 1 trials, not 2")],
)
def test_optuna_that_disagrees_is_seen(states: list[str], said: str) -> None:
    assert problems(states=states) == said


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (RUNS[:1], "MLflow: trial 1 has 0 runs"),
        ([*RUNS, RUNS[0]], "MLflow: trial 0 has 2 runs"),
        ([RUNS[0], replace(RUNS[1], status="RUNNING")], "MLflow: trial 1 is RUNNING"),
        ([RUNS[0], replace(RUNS[1], steps=(1, 2, 2, 3))], "MLflow: trial 1 has the epochs [1, 2, 2, 3]"),
    ],
)
def test_mlflow_that_disagrees_is_seen(runs: list[Run], said: str) -> None:
    assert problems(runs=runs) == said


def test_a_sweep_whose_run_in_mlflow_was_not_closed_is_seen() -> None:
    assert problems(status="RUNNING") == "MLflow: the sweep is RUNNING"


def late(trial: int, epoch: int, seconds: float) -> list[Event]:
    """The sweep with all of a trial's epochs from one on so many seconds late."""
    return [
        replace(e, time=e.time + seconds) if isinstance(e, TrialEpoch) and e.trial == trial and e.epoch >= epoch else e
        for e in sweep()
    ]


def test_a_kill_is_charged_with_what_its_trial_waited_longer_than_usual() -> None:
    struck = [Struck(number=0, kind="slot", at=1.5, hit=(1,))]
    assert lost_seconds(late(1, 2, 9.0), struck) == {0: {1: pytest.approx(9.0)}}


def test_one_that_was_announced_is_charged_with_the_move_and_not_with_the_epoch_before_it() -> None:
    struck = [Struck(number=0, kind="notice", at=1.5, until=4.0, hit=(1,))]
    assert lost_seconds(late(1, 3, 9.0), struck) == {0: {1: pytest.approx(9.0)}}


def test_without_a_known_victim_the_trial_that_waited_longest_is_charged() -> None:
    struck = [Struck(number=0, kind="slot", at=1.5)]
    assert lost_seconds(late(1, 2, 9.0), struck) == {0: {1: pytest.approx(9.0)}}


def test_a_trial_that_is_hit_twice_before_its_next_epoch_is_charged_once() -> None:
    struck = [Struck(number=n, kind="slot", at=1.5 + n, hit=(1,)) for n in range(2)]
    lost = lost_seconds(late(1, 2, 9.0), struck)
    assert lost == {0: {1: pytest.approx(9.0)}, 1: {}}
    assert [(row["kills"], row["trials hit"]) for row in by_kind(struck, lost)] == [(2, 1)]


def test_a_node_on_which_nothing_was_trained_costs_nothing() -> None:
    assert lost_seconds(late(1, 2, 9.0), [Struck(number=0, kind="node", at=1.5, hit=())]) == {0: {}}


def test_the_usual_epoch_is_not_moved_by_one_that_was_late() -> None:
    assert usual_epoch(late(1, 3, 50.0)) == pytest.approx(1.0)


def test_a_plan_follows_from_its_seed() -> None:
    def plan(seed: int) -> object:
        return make_plan(seed=seed, kills=9, kinds=["slot", "node"], epochs=400, epoch_seconds=0.4)

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


def test_a_plan_says_whether_nodes_are_replaced() -> None:
    def vacancies(*, replaced: bool) -> list[float | None]:
        plan = make_plan(seed=1, kills=3, kinds=["node"], epochs=400, epoch_seconds=0.4, replaced=replaced)
        return [kill.vacancy for kill in plan]

    assert vacancies(replaced=False) == [None] * 3
    assert None not in vacancies(replaced=True)


def test_a_plan_spreads_its_kills_over_the_sweep_and_over_the_kinds() -> None:
    plan = make_plan(seed=3, kills=12, kinds=["worker", "slot", "node"], epochs=400, epoch_seconds=0.4)
    assert [kill.at for kill in plan] == sorted(kill.at for kill in plan)
    assert {kind: sum(kill.kind == kind for kill in plan) for kind in ("worker", "slot", "node")} == {
        "worker": 4,
        "slot": 4,
        "node": 4,
    }
    assert plan[0].at >= 32
    assert plan[-1].at <= 340
