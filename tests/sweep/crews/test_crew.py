"""Crews on a real Ray: warm, data-parallel, and hard to kill."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from ray._private.state import actors
from ray.util.placement_group import placement_group_table

from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.crews.crew import Crew, CrewOrders, close_crews, open_mailboxes
from trainyard.tracking.events import Event, TrialEnded, TrialEpoch

from ...cluster.machines import wait
from ..conftest import Bench, Ran, choice
from ..test_sweep import epochs_of, mlflow_runs, states

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def crew_sweep(bench: Bench) -> tuple[Job, Space]:
    parameters: dict[str, Any] = {"model.fault": choice("none", "raise on rank 1", "die once", "nan")}
    job = bench.job(resources__workers=2, model__level=1.0)
    return job, bench.space(parameters, sampler="grid", trials=10)


@pytest.fixture(scope="module")
def ran(bench: Bench) -> Ran:
    """A healthy trial, one that raises on one worker, one that kills a worker once, one that diverges: one crew."""
    (bench.home / "mark").unlink(missing_ok=True)
    return bench.run(*crew_sweep(bench))


def test_a_crew_outlives_what_its_trials_do_to_it(ran: Ran) -> None:
    assert states(ran) == {0: "finished", 1: "failed", 2: "finished", 3: "diverged"}


def test_a_killed_worker_loses_no_epoch_and_doubles_none(ran: Ran) -> None:
    assert epochs_of(ran)[2] == [1, 2, 3]


def test_the_cause_is_named_not_what_followed_from_it(ran: Ran) -> None:
    assert "ValueError: on purpose, on rank 1 (nets.py:" in ran.outcome.records[1].reason


def test_nothing_is_left_running(ran: Ran) -> None:
    assert "RUNNING" not in {run.info.status for run in mlflow_runs(ran)}


def test_two_workers_train_what_one_would(bench: Bench, ran: Ran) -> None:
    alone = bench.train(bench.job())

    def losses(events: Sequence[Event]) -> list[float]:
        return [e.metrics["train/loss"] for e in events if isinstance(e, TrialEpoch) and e.trial == 0]

    assert losses(ran.events) == pytest.approx(losses(alone), rel=1e-4)


def test_a_crew_that_waits_for_room_comes_home(
    ray_nodes: list[dict[str, float]], digits_job: Job, tmp_path: Path
) -> None:
    job = digits_job.with_values({"resources.workers": 9})
    (mailbox,) = open_mailboxes(1)
    orders = CrewOrders(job=job, directory=None, data=cast(Any, None))
    crew = Crew("too-many", orders, mailbox, {"storage_path": str(tmp_path)})
    wait(lambda: "PENDING" in group_states())
    close_crews([crew])
    assert group_states() <= {"REMOVED"}
    wait(lambda: not [actor for actor in living_actors() if actor == "CrewController"], 10)


def group_states() -> set[str]:
    return {group["state"] for group in placement_group_table().values()}


def living_actors() -> list[str]:
    return [actor["ActorClassName"] for actor in actors().values() if actor["State"] != "DEAD"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Roster", "Mailbox"])
def test_the_death_of_what_is_beside_the_driver_stops_a_sweep_that_can_go_on(bench: Bench, name: str) -> None:
    job = bench.job(resources__workers=2, training__epochs=60)
    space = bench.space(trials=2)

    def kill(event: Event) -> None:
        if isinstance(event, TrialEpoch) and event.epoch == 3:
            living = [actor for actor in actors().values() if actor["State"] == "ALIVE"]
            for actor in living:
                if actor["ActorClassName"] == name:
                    os.kill(actor["Pid"], signal.SIGKILL)

    stopped = bench.run(job, space, listeners=[kill])
    assert stopped.outcome.state == "failed"
    assert name.lower() in stopped.outcome.reason
    assert not any(isinstance(event, TrialEnded) for event in stopped.events)

    resumed = bench.go_on(job, space, stopped.folder)
    assert states(resumed) == dict.fromkeys(range(2), "finished")
    told = epochs_of(Ran(resumed.outcome, [*stopped.events, *resumed.events], resumed.folder, resumed.uri))
    assert told == {trial: list(range(1, 61)) for trial in range(2)}
