"""All crews of a sweep: one for each slot, more when the cluster grows, fewer when no trials are left for them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

from trainyard.data.cache import SharedData
from trainyard.errors import RunError
from trainyard.spec.job import Job
from trainyard.sweep.crew import Crew, CrewOrders, close_crews, open_mailboxes
from trainyard.sweep.extraction import SharedExtraction
from trainyard.sweep.roster import actor_lives

LOOK_SECONDS = 1.0
"""How often it is asked whether the slots that hold crews live."""

Keep = Callable[[int, int], None]
"""keep(slots, trials): as many crews as there are slots, but no more than trials that go on or are still to come.

RunError where the roster has died, which knows whose the crews are."""


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
        crews.expect(slots)
        crews.release_dead()
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
        self._expected = 0
        self._dismissing: Any = None
        self._holders: Any = None
        self._looked = 0.0

    def expect(self, slots: int) -> None:
        """How many slots the cluster has room for: a slot more, whose crew can't form, gives way to the others."""
        if slots != self._expected:
            self._expected = slots
            self._roster.expect.remote(slots)

    def release_dead(self) -> None:
        """Free the crews of slots that were killed, which have given nothing back."""
        if self._holders is None and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked, self._holders = time.monotonic(), self._roster.holders.remote()
        for slot in self._answer("_holders") or ():
            if not actor_lives(slot):
                self._roster.release.remote(slot)

    def _answer(self, name: str) -> Any:
        """What the roster has answered to a question, once; None while it has not."""
        question = getattr(self, name)
        if question is None or not ray.wait([question], timeout=0)[0]:
            return None
        setattr(self, name, None)
        try:
            return ray.get(question)
        except ray.exceptions.RayActorError as error:
            raise RunError(f"the roster of the sweep died: {error}") from None

    def grow_to(self, count: int) -> None:
        """Start as many as are lacking; they form where and when there is room."""
        for mailbox in open_mailboxes(max(0, count - len(self._crews))):
            number, self._started = self._started, self._started + 1
            self._crews[number] = Crew(f"crew-{number}", self._orders, mailbox, self._storage())
            self._roster.add_crew.remote(number, mailbox)

    def shrink_to(self, count: int) -> None:
        """Send home those that no slot holds, so that others have their places; the rest stays, even if it is more."""
        if self._dismissing is None and len(self._crews) > count:
            self._dismissing = self._roster.dismiss.remote(len(self._crews) - count)
        for number in self._answer("_dismissing") or ():
            crew = self._crews.pop(number)
            crew.send_home()
            self._sent_home.append(crew)

    def close(self) -> None:
        """Send all home, and wait for them."""
        close_crews([*self._crews.values(), *self._sent_home])
