"""The roster of a sweep: what the driver tells its slots while they work.

Which nodes are about to leave, which crews there are, and which slot has which: all of it changes while the sweep goes
on. A crew is granted and dismissed here and nowhere else: no two slots have one, and none has one that was sent home.
"""

import math
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

LACKING_SECONDS = 12.0
"""A slot whose crew is not there asks for another more often than that."""


@dataclass(frozen=True, kw_only=True)
class Holding:
    """slots: the actor ids of those that hold crews. One that was killed gives nothing back: the driver releases it.
    lacking: whether a slot has asked in vain for another crew, as its own is not there."""

    slots: set[str]
    lacking: bool


class Roster:
    """A plain asyncio object, all of whose methods return at once; the sweep runs it as a zero-CPU actor."""

    def __init__(self) -> None:
        self._leaving: frozenset[str] = frozenset()
        self._slots = math.inf
        self._mailboxes: dict[int, Any] = {}
        self._held: dict[int, str] = {}
        self._excused: set[str] = set()
        self._lacked: dict[str, float] = {}

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

    async def dismiss(self, count: int, ended: Collection[int] = ()) -> list[int]:
        """Take away crews that no slot holds: all that have ended by themselves, and up to so many more. Which ones."""
        free = self._free()
        gone = [number for number in free if number in ended]
        gone += [number for number in free if number not in ended][:count]
        for number in gone:
            del self._mailboxes[number]
        return gone

    async def holding(self) -> Holding:
        """Which slots hold crews, and whether that is too many for the others."""
        return Holding(slots=set(self._held.values()), lacking=self._is_lacking())

    async def is_excused(self, slot: str) -> bool:
        """Whether a slot that has ended did so for no fault of its trial."""
        return slot in self._excused

    # -- the slots' side

    async def is_leaving(self, node_ids: Collection[str]) -> bool:
        """Whether any of these nodes is about to leave."""
        return not self._leaving.isdisjoint(node_ids)

    async def take(self, slot: str) -> Any | None:
        """The mailbox of a crew, from now on this slot's; None while others hold all of them."""
        return self._grant(free[0], slot) if (free := self._free_for(slot)) else None

    async def exchange(self, slot: str) -> Any | None:
        """Another crew for a slot whose own is not there; None where none is free."""
        own = max((number for number, holder in self._held.items() if holder == slot), default=-1)
        # The next one in turn: one of them may be there.
        free = sorted(self._free_for(slot), key=lambda number: (number < own, number))
        if not free:
            return None
        await self.release(slot)
        return self._grant(free[0], slot)

    async def is_there(self, slot: str) -> None:
        """The crew of a slot that has asked for another."""
        self._lacked.pop(slot, None)

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
        self._lacked.pop(slot, None)

    def _grant(self, number: int, slot: str) -> Any:
        self._held[number] = slot
        self._lacked.pop(slot, None)
        return self._mailboxes[number]

    def _is_lacking(self) -> bool:
        return any(time.monotonic() - asked < LACKING_SECONDS for asked in self._lacked.values())

    def _free_for(self, slot: str) -> list[int]:
        """Crews that a slot may have, which is else one that lacks any."""
        if not (free := self._free()):
            self._lacked[slot] = time.monotonic()
        return free

    def _free(self) -> list[int]:
        """Crews that no slot holds."""
        return [number for number in self._mailboxes if number not in self._held]


def actor_lives(actor: str) -> bool:
    """Whether Ray has not said of an actor that it died. A busy one lives."""
    from ray._private.state import actors
    from ray.exceptions import RaySystemError

    try:
        return actors(actor).get("State") != "DEAD"
    except RaySystemError:  # the head is busy, or gone for a moment
        return True
