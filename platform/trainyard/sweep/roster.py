"""The roster of a sweep: what the driver tells its slots while they work.

Which nodes are about to leave, which crews there are, and which slot has which: all of it changes while the sweep goes
on. A crew is granted and dismissed here and nowhere else: no two slots have one, and none has one that was sent home.
"""

import math
from collections.abc import Collection
from typing import Any


class Roster:
    """A plain asyncio object, all of whose methods return at once; the sweep runs it as a zero-CPU actor."""

    def __init__(self) -> None:
        self._leaving: frozenset[str] = frozenset()
        self._slots = math.inf
        self._mailboxes: dict[int, Any] = {}
        self._held: dict[int, str] = {}
        self._excused: set[str] = set()

    # -- the driver's side

    async def leaving(self, node_ids: frozenset[str]) -> None:
        """These nodes, and no others, are about to leave the cluster."""
        self._leaving = node_ids

    async def expect(self, slots: int) -> None:
        """The cluster has room for so many slots with crews."""
        self._slots = slots

    async def add_crew(self, number: int, mailbox: Any) -> None:
        """One crew more, with a mailbox that slots may take."""
        self._mailboxes[number] = mailbox

    async def dismiss(self, count: int) -> list[int]:
        """Take away up to so many crews that no slot holds; return which."""
        idle = self._free()[:count]
        for number in idle:
            del self._mailboxes[number]
        return idle

    async def holders(self) -> set[str]:
        """The slots that hold crews. One that was killed has given nothing back: the driver releases it."""
        return set(self._held.values())

    async def is_excused(self, slot: str) -> bool:
        """Whether a slot that has ended did so for no fault of its trial."""
        return slot in self._excused

    # -- the slots' side

    async def is_leaving(self, node_ids: Collection[str]) -> bool:
        """Whether any of these nodes is about to leave."""
        return not self._leaving.isdisjoint(node_ids)

    async def take(self, slot: str) -> Any | None:
        """The mailbox of a crew, from now on this slot's; None while others hold all of them."""
        free = self._free()
        return self._grant(free[0], slot) if free else None

    async def exchange(self, slot: str) -> Any | None:
        """Another crew for a slot whose own is not there; None where none is free."""
        own = max((number for number, holder in self._held.items() if holder == slot), default=-1)
        # The next one in turn: one of them may be there.
        free = sorted(self._free(), key=lambda number: (number < own, number))
        if not free:
            return None
        await self.release(slot)
        return self._grant(free[0], slot)

    async def gives_way(self, slot: str) -> bool:
        """Whether a slot whose crew is not there is one too many. It is then excused, and its trial goes on in another.

        Else that trial would wait for room which the cluster does not have, and no other be handed out in its place.
        """
        if len(self._held) <= self._slots:
            return False
        await self.excuse(slot)
        return True

    async def excuse(self, slot: str) -> None:
        """A slot is about to end for no fault of its trial; what it held is free."""
        self._excused.add(slot)
        await self.release(slot)

    async def release(self, slot: str) -> None:
        """A slot has ended, and whatever it held is free."""
        self._held = {number: holder for number, holder in self._held.items() if holder != slot}

    def _grant(self, number: int, slot: str) -> Any:
        self._held[number] = slot
        return self._mailboxes[number]

    def _free(self) -> list[int]:
        """Crews that no slot holds."""
        return [number for number in self._mailboxes if number not in self._held]


def actor_lives(actor: str) -> bool:
    """Whether Ray has not said of an actor that it died. A busy one lives."""
    from ray._private.state import actors
    from ray.exceptions import RaySystemError

    try:
        return actors(actor).get("State") not in (None, "DEAD")
    except RaySystemError:  # the head is busy, or gone for a moment
        return True
