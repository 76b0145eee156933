"""All crews of a sweep: one for each slot, more when the cluster grows, fewer when no trials are left for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

from trainyard.data.cache import SharedData
from trainyard.spec.job import Job
from trainyard.sweep.crew import Crew, CrewOrders, close_crews, open_mailboxes
from trainyard.sweep.extraction import SharedExtraction

Keep = Callable[[int, int], None]
"""keep(slots, trials): as many crews as there are slots, but no more than trials that go on or are still to come."""


@contextmanager
def crews_for(
    job: Job, data: SharedData | SharedExtraction, storage: Callable[[], dict[str, Any]], roster: Any
) -> Iterator[Keep]:
    """Crews while the context lasts, where the job trains with any. To be called in the driver's loop."""
    if not job.resources.crew:
        yield lambda slots, trials: None
        return
    crews = Crews(CrewOrders(job=job, directory=job.directory, data=data), storage, roster)

    def keep(slots: int, trials: int) -> None:
        crews.grow_to(min(slots, trials))
        crews.shrink_to(trials)

    try:
        yield keep
    finally:
        crews.close()


class Crews:
    """Starts crews and sends them home. Used from the driver's loop; nothing here waits but `close`."""

    def __init__(self, orders: CrewOrders, storage: Callable[[], dict[str, Any]], roster: Any) -> None:
        """storage: the settings of a place that no run of Ray Train has used yet. roster: an actor handle."""
        self._orders = orders
        self._storage = storage
        self._roster = roster
        self._crews: dict[int, Crew] = {}
        self._sent_home: list[Crew] = []
        self._started = 0

    def grow_to(self, count: int) -> None:
        """Start as many as are lacking; they form where and when there is room."""
        for mailbox in open_mailboxes(max(0, count - len(self._crews))):
            number, self._started = self._started, self._started + 1
            self._crews[number] = Crew(f"crew-{number}", self._orders, mailbox, self._storage())
            self._roster.add_crew.remote(number, mailbox)

    def shrink_to(self, count: int) -> None:
        """Send home those that no slot holds, so that others have their places; the rest stays, even if it is more."""
        if len(self._crews) <= count:
            return
        for number in ray.get(self._roster.dismiss.remote(len(self._crews) - count)):
            crew = self._crews.pop(number)
            crew.send_home()
            self._sent_home.append(crew)

    def close(self) -> None:
        """Send all home, and wait for them."""
        close_crews([*self._crews.values(), *self._sent_home])
