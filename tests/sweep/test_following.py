"""A sweep that follows its cluster, from made-up looks at it: no Ray here."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from trainyard.cluster.groups import Groups, NodeGroup
from trainyard.cluster.nodes import ClusterState, NodeState
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.controller import Concurrency
from trainyard.sweep.following import ClusterWatch, Following
from trainyard.sweep.plan import Plan, make_plan, replanned

SPACE = Space.from_dict(
    {"parameters": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1}}, "search": {"trials": 5}}
)


def cluster(*names: str, leaving: str = "") -> ClusterState:
    return ClusterState(nodes=tuple(NodeState(id=n, resources={"CPU": 2.0}, leaving=n == leaving) for n in names))


class Sweep:
    """One that starts on two nodes with two CPUs each, and looks at the cluster when it is told to."""

    def __init__(self, job: Job) -> None:
        self.seen = ClusterState()
        self.plans: list[Plan] = []
        self.leaving: list[frozenset[str]] = []
        self._watch = ClusterWatch(lambda: self.seen)
        plan = make_plan(job, SPACE, cluster("a", "b").places())
        self.concurrency = Concurrency(plan.slots)
        self._following = Following(
            plan=plan,
            refit=lambda plan, nodes: replanned(plan, job, SPACE, nodes),
            concurrency=self.concurrency,
            on_plan=self.plans.append,
            on_leaving=self.leaving.append,
        )

    def sees(self, state: ClusterState) -> int:
        """The number of slots after that."""
        self.seen = state
        self._watch.look()
        self._following.see(self._watch.news())
        return self.concurrency.slots


@pytest.fixture
def sweep(digits_job: Job) -> Sweep:
    return Sweep(digits_job)


def test_slots_follow_the_places_up_to_the_trials(sweep: Sweep) -> None:
    assert sweep.sees(cluster("a", "b")) == 4
    assert sweep.sees(cluster("a")) == 2
    assert sweep.sees(cluster("a", "b", "c")) == 5
    assert [plan.slots for plan in sweep.plans] == [2, 5]
    assert sweep.plans[-1].cluster_cpus == 6


def test_a_cluster_without_nodes_leaves_one_slot_that_waits(sweep: Sweep) -> None:
    assert sweep.sees(cluster()) == 1
    assert not sweep.plans[-1].room


def test_crews_may_ask_for_their_share_of_what_an_autoscaler_may_start(digits_job: Job) -> None:
    sweep = Sweep(digits_job.with_values({"resources.workers": [1, 4]}))
    grows = Groups(groups=(NodeGroup(name="small", resources={"CPU": 1.0}, most=3),), most=3)
    sweep.sees(replace(cluster("a"), groups=grows))
    assert (sweep.concurrency.slots, sweep.concurrency.crew_share) == (2, 2)
    sweep.sees(cluster("a"))
    assert sweep.concurrency.crew_share == 0


def test_one_slot_that_begins_to_wait_or_no_longer_has_to_is_told(digits_job: Job) -> None:
    sweep = Sweep(digits_job.with_values({"resources.cpus_per_worker": 2}))
    for state in (cluster("a"), cluster(), cluster("a"), cluster("a")):
        assert sweep.sees(state) == 1
    assert [plan.room for plan in sweep.plans] == [True, False, True]


def test_nodes_that_leave_are_told_once_and_hold_no_slots(sweep: Sweep) -> None:
    assert sweep.sees(cluster("a", "b", leaving="b")) == 2
    sweep.sees(cluster("a", "b", leaving="b"))
    sweep.sees(cluster("a"))
    assert sweep.leaving == [{"b"}, frozenset()]


def test_a_look_that_fails_changes_nothing(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> ClusterState:
        raise ConnectionError("the head is busy")

    broken: Callable[[], ClusterState] = fail
    monkeypatch.setattr(sweep._watch, "_look", broken)
    assert sweep.sees(cluster("a")) == 4
