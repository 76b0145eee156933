"""Whole sweeps on a real Ray, with real records."""

import math
from typing import Any

import mlflow
import optuna
import pytest

from trainyard.errors import RunError
from trainyard.tracking.events import Event, TrialEnded, TrialEpoch, TrialNote

from .conftest import Bench, Ran, choice

pytestmark = pytest.mark.cluster


def epochs_of(ran: Ran) -> dict[int, list[int]]:
    """The epochs that were heard of, trial by trial, in the order of their coming."""
    heard: dict[int, list[int]] = {}
    for event in ran.events:
        if isinstance(event, TrialEpoch):
            heard.setdefault(event.trial, []).append(event.epoch)
    return heard


def states(ran: Ran) -> dict[int, str]:
    return {record.number: record.state for record in ran.outcome.records.values()}


def optuna_states(ran: Ran) -> dict[int, str]:
    study = optuna.load_study(study_name=ran.folder.name, storage=f"sqlite:///{ran.folder.study}")
    return {trial.number: trial.state.name for trial in study.trials}


def mlflow_runs(ran: Ran) -> list[mlflow.entities.Run]:
    """The sweep's run and those of its trials."""
    client = mlflow.MlflowClient(ran.uri)
    (experiment,) = client.search_experiments(filter_string="name = 'digits-nets'")
    return list(client.search_runs([experiment.experiment_id], f"tags.`trainyard.sweep` = '{ran.folder.name}'"))


def mlflow_trials(ran: Ran) -> dict[int, mlflow.entities.Run]:
    runs = [run for run in mlflow_runs(ran) if "trainyard.trial" in run.data.tags]
    trials = {int(run.data.tags["trainyard.trial"]): run for run in runs}
    assert len(trials) == len(runs)
    return trials


@pytest.fixture(scope="module")
def mixed(bench: Bench) -> Ran:
    """One trial that is well, one that raises, one that diverges, one with a bad learning rate that ASHA stops."""
    job = bench.job(training__epochs=4)
    parameters: dict[str, Any] = {
        "model.fault": choice("none", "raise", "nan"),
        "model.level": {**choice(1.0), "when": {"model.fault": ["raise", "nan"]}},
        "optimizer.lr": {**choice(5e-3, 1e-8), "when": {"model.fault": "none"}},
    }
    asha = {"name": "asha", "grace": 1, "reduction_factor": 2}
    return bench.run(job, bench.space(parameters, sampler="grid", trials=9, scheduler=asha))


def test_every_trial_ends_in_its_own_way(mixed: Ran) -> None:
    assert mixed.outcome.state == "finished"
    assert sorted(states(mixed).values()) == ["diverged", "failed", "finished", "pruned"]


def test_journal_optuna_and_mlflow_agree(mixed: Ran) -> None:
    told = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "diverged": "PRUNED"}
    assert optuna_states(mixed) == {number: told[state] for number, state in states(mixed).items()}
    recorded = {number: run.data.tags["trainyard.state"] for number, run in mlflow_trials(mixed).items()}
    assert recorded == states(mixed)


def test_nothing_is_left_running(mixed: Ran) -> None:
    assert {run.info.status for run in mlflow_runs(mixed)} == {"FINISHED", "KILLED", "FAILED"}


def test_every_epoch_is_recorded_once(mixed: Ran) -> None:
    client = mlflow.MlflowClient(mixed.uri)
    for number, run in mlflow_trials(mixed).items():
        steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "val/accuracy")]
        assert sorted(steps) == epochs_of(mixed).get(number, [])


def test_the_reason_of_a_failure_names_the_users_line(mixed: Ran) -> None:
    (reason,) = [record.reason for record in mixed.outcome.records.values() if record.state == "failed"]
    assert "ValueError: on purpose (nets.py:" in reason


def test_what_was_sampled_is_what_was_trained(mixed: Ran) -> None:
    live = {event.trial: event.tags for event in mixed.events if isinstance(event, TrialNote)}
    for record in mixed.outcome.records.values():
        if "optimizer.lr" in record.values:
            assert live[record.number]["live/optimizer.lr"] == pytest.approx(record.values["optimizer.lr"])


def test_states_to_go_on_from_are_gone_and_the_best_are_kept(mixed: Ran) -> None:
    kept = {path.name for path in (mixed.folder.path / "trials").glob("*/*.pt")}
    assert kept == {"best.pt"}
    folders = {int(path.name) for path in (mixed.folder.path / "trials").iterdir()}
    assert folders == set(mixed.outcome.best)


def test_two_slots_train_at_a_time(bench: Bench) -> None:
    job = bench.job(model__fault="wait for another", model__level=1.0)
    ran = bench.run(job, bench.space(trials=3, max_concurrent=2))
    open_trials, most = set(), 0
    for event in ran.events:
        if isinstance(event, TrialEpoch):
            open_trials.add(event.trial)
        if isinstance(event, TrialEnded):
            open_trials.discard(event.trial)
        most = max(most, len(open_trials))
    assert most == 2
    assert set(states(ran).values()) == {"finished"}


def test_a_slot_that_is_killed_loses_no_epoch_and_doubles_none(bench: Bench) -> None:
    (bench.home / "mark").unlink(missing_ok=True)
    ran = bench.run(bench.job(model__fault="die once", model__level=1.0), bench.space(trials=3, max_concurrent=2))
    assert (bench.home / "mark").exists()
    assert states(ran) == dict.fromkeys(range(3), "finished")
    assert epochs_of(ran) == {trial: [1, 2, 3] for trial in range(3)}


def test_when_the_first_trials_all_fail_alike_the_sweep_stops(bench: Bench) -> None:
    ran = bench.run(bench.job(model__fault="raise", model__level=1.0), bench.space(trials=50))
    assert ran.outcome.state == "failed"
    assert ran.outcome.reason.startswith("the first 3 trials all failed for the same reason: model nets:build, epoch 2")
    assert len(ran.outcome.records) <= 5
    assert "RUNNING" not in {run.info.status for run in mlflow_runs(ran)}


def test_an_error_of_the_sweep_itself_ends_it_and_leaves_it_to_be_resumed(bench: Bench) -> None:
    def full_disk(event: Event) -> None:
        if isinstance(event, TrialEpoch) and event.trial == 2:
            raise RunError("No space left on device")

    job, space = bench.job(), bench.space(trials=5)
    broken = bench.run(job, space, listeners=[full_disk])
    assert (broken.outcome.state, broken.outcome.reason) == ("failed", "No space left on device")
    assert "RUNNING" not in {run.info.status for run in mlflow_runs(broken)}
    resumed = bench.go_on(job, space, broken.folder)
    assert states(resumed) == dict.fromkeys(range(5), "finished")
    assert set(optuna_states(resumed).values()) == {"COMPLETE"}
    client = mlflow.MlflowClient(resumed.uri)
    for run in mlflow_trials(resumed).values():
        assert sorted(m.step for m in client.get_metric_history(run.info.run_id, "val/loss")) == [1, 2, 3]


def slots_so_far() -> set[str]:
    """The actor ids of all slots that were ever started."""
    from ray._private.state import actors

    return {actor for actor, entry in actors().items() if "ResourceTrainable" in entry["ActorClassName"]}


def test_a_population_exchanges_weights(bench: Bench) -> None:
    """The trial that cannot learn (rate 0 at the start) ends as good as the one that can, so it got its weights."""
    parameters = {"optimizer.lr": {"type": "float", "low": 1e-9, "high": 1e-2, "log": True}}
    start = [{"optimizer.lr": 1e-2}, {"optimizer.lr": 1e-9}]
    pbt = {"name": "pbt", "interval": 1, "quantile": 0.5}
    space = bench.space(parameters, trials=2, max_concurrent=None, scheduler=pbt, start_from=start)
    before = slots_so_far()
    ran = bench.run(bench.job(training__epochs=8), space)
    assert len(slots_so_far() - before) == 2, "slots were started anew after an exchange"
    assert set(states(ran).values()) == {"finished"}
    assert all(epochs == sorted(set(epochs)) for epochs in epochs_of(ran).values())
    finals = [record.best[0].value for record in ran.outcome.records.values()]
    assert min(finals) > 0.6
    assert math.isclose(*finals, abs_tol=0.15)


def test_hyperband_pauses_and_wakes_trials_without_losing_epochs(bench: Bench) -> None:
    space = bench.space(trials=6, max_concurrent=None, scheduler={"name": "hyperband", "reduction_factor": 2})
    before = slots_so_far()
    ran = bench.run(bench.job(training__epochs=4), space)
    assert len(slots_so_far() - before) == 2
    assert ran.outcome.state == "finished"
    assert set(states(ran).values()) <= {"finished", "pruned"}
    for epochs in epochs_of(ran).values():
        assert epochs == list(range(1, len(epochs) + 1))
