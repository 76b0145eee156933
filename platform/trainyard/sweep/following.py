"""A sweep that follows its cluster: nodes come and go, and slots, crews and roster with them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from trainyard.cluster.nodes import ClusterState
from trainyard.sweep.controller import Concurrency
from trainyard.sweep.places import Node
from trainyard.sweep.plan import Plan

POLL_SECONDS = 1.0
"""How often the cluster is looked at. Spot machines go two minutes after their notice, some clouds' after 30 s."""


@contextmanager
def following(look: Callable[[], ClusterState] | None, follower: "Following") -> Iterator[Callable[[], None]]:
    """Yields what to call in the driver's loop, often: it tells the follower what has been seen.

    look: tells what nodes there are; None where they stay the same.
    """
    if look is None:
        yield lambda: None
        return
    watch = ClusterWatch(look)
    watch.look()  # the first crews are to know what they may ask the autoscaler for
    with watch.running():
        yield lambda: follower.see(watch.news())


class ClusterWatch:
    """Looks at the cluster from a thread of its own, so that a slow answer does not hold up the driver's loop."""

    def __init__(self, look: Callable[[], ClusterState]) -> None:
        self._look = look
        self._latest: ClusterState | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="trainyard-cluster-watch", daemon=True)

    def news(self) -> ClusterState | None:
        """What was seen since the last call; None: nothing yet."""
        latest, self._latest = self._latest, None
        return latest

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join(timeout=POLL_SECONDS)  # it may wait for the answer of a head that is gone

    def look(self) -> None:
        """Now."""
        # The head is busy, or gone for a moment: the next look tells.
        with suppress(Exception):
            self._latest = self._look()

    def _work(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            self.look()


class Following:
    """Applies what a watch has seen; called in the driver's loop, and returns at once."""

    def __init__(
        self,
        *,
        plan: Plan,
        refit: Callable[[Plan, Sequence[Node]], Plan],
        concurrency: Concurrency,
        on_plan: Callable[[Plan], None],
        on_leaving: Callable[[frozenset[str]], None],
    ) -> None:
        """refit: the plan for other nodes. on_plan, on_leaving: told of another number of slots, or of none that
        there is room for; of other nodes that are about to leave."""
        self._plan = plan
        self._refit = refit
        self._concurrency = concurrency
        self._on_plan = on_plan
        self._on_leaving = on_leaving
        self._leaving: frozenset[str] = frozenset()

    def see(self, state: ClusterState | None) -> None:
        """None: nothing new."""
        if state is None:
            return
        if state.leaving != self._leaving:
            self._leaving = state.leaving
            self._on_leaving(state.leaving)
        plan = self._refit(self._plan, state.places())
        self._concurrency.crew_share = plan.crew_share if state.grows else 0
        if (plan.slots, plan.room) != (self._plan.slots, self._plan.room):
            self._plan = plan
            self._concurrency.slots = plan.slots
            self._on_plan(plan)
