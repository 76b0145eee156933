"""All crews of a sweep: one for each slot, more when the cluster grows, fewer when no trials are left for them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

from trainyard.data.cache import SharedData
from trainyard.errors import RunError
from trainyard.spec.job import Job
from trainyard.sweep.controller import Concurrency
from trainyard.sweep.crews.crew import Crew, CrewOrders, close_crews, open_mailboxes
from trainyard.sweep.crews.roster import Holding, actor_lives
from trainyard.sweep.extraction import SharedExtraction

LOOK_SECONDS = 1.0
"""How often it is asked whether the slots that hold crews live."""

Keep = Callable[[int], None]
"""keep(trials): as many crews as there are slots, but no more than trials that go on or are still to come.

RunError where the roster has died, which knows whose the crews are."""


@contextmanager
def crews_for(
    job: Job,
    data: SharedData | SharedExtraction,
    storage: Callable[[], dict[str, Any]],
    roster: Any,
    concurrency: Concurrency,
) -> Iterator[Keep]:
    """Crews while the context lasts, where the job trains with any. To be called in the driver's loop."""
    if not job.resources.crew:
        yield lambda trials: None
        return
    crews = Crews(CrewOrders(job=job, directory=job.directory, data=data), storage, roster)

    def keep(trials: int) -> None:
        crews.expect(concurrency.slots)
        concurrency.crews_lacking = crews.look()
        wanted = min(concurrency.slots, trials)
        crews.grow_to(wanted, share=concurrency.crew_share)
        crews.shrink_to(wanted)

    try:
        yield keep
    finally:
        crews.close()


class Crews:
    """Starts crews and sends them home. Used from the driver's loop: nothing but `close` waits."""

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
        self._holding: Any = None
        self._lacking = False
        self._looked = 0.0

    def expect(self, slots: int) -> None:
        """How many slots the cluster has room for: a slot more, whose crew can't form, gives way to the others."""
        if slots != self._expected:
            self._expected = slots
            self._roster.expect.remote(slots)

    def look(self) -> bool:
        """Free the crews of slots that were killed; whether a slot lacks a crew, by the last answer of the roster."""
        if self._holding is None and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked, self._holding = time.monotonic(), self._roster.holding.remote()
        holding: Holding | None = self._answer("_holding")
        if holding is not None:
            self._lacking = holding.lacking
            for slot in holding.slots:
                if not actor_lives(slot):
                    self._roster.release.remote(slot)
        return self._lacking

    def _answer(self, name: str) -> Any:
        """What the roster has answered to a question, once; None while it has not."""
        question = getattr(self, name)
        if question is None or not ray.wait([question], timeout=0)[0]:
            return None
        setattr(self, name, None)
        try:
            return ray.get(question)
        except ray.exceptions.ActorUnavailableError:
            return None
        except ray.exceptions.RayActorError as error:
            raise RunError(f"the roster of the sweep died: {error}") from None

    def grow_to(self, count: int, *, share: int = 0) -> None:
        """Start as many as are lacking; they form where and when there is room.

        share: for how many workers each may ask the autoscaler; 0: there is none.
        """
        for mailbox in open_mailboxes(max(0, count - len(self._crews))):
            number, self._started = self._started, self._started + 1
            self._crews[number] = Crew(f"crew-{number}", self._orders, mailbox, self._storage(), share=share)
            self._roster.add_crew.remote(number, mailbox)

    def shrink_to(self, count: int) -> None:
        """Send home those that no slot holds, so that others have their places; the rest stays, even if it is more.

        Those that were given up go, too: a slot that took one would end the sweep."""
        ended = [number for number, crew in self._crews.items() if crew.ended]
        surplus = max(0, len(self._crews) - count)
        if self._dismissing is None and (ended or surplus):
            self._dismissing = self._roster.dismiss.remote(surplus, ended)
        for number in self._answer("_dismissing") or ():
            crew = self._crews.pop(number)
            crew.send_home()
            self._sent_home.append(crew)
        self._sent_home = [crew for crew in self._sent_home if not crew.ended]  # and with them their mailboxes

    def close(self) -> None:
        """Send all home, and wait for them."""
        close_crews([*self._crews.values(), *self._sent_home])
