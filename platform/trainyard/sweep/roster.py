"""The roster of a sweep: what the driver tells its slots while they work.

Which nodes are about to leave, and which crews there are: both change while the sweep goes on.
"""

from collections.abc import Collection
from typing import Any


class Roster:
    """A plain asyncio object, all of whose methods return at once; the sweep runs it as a zero-CPU actor."""

    def __init__(self) -> None:
        self._leaving: frozenset[str] = frozenset()
        self._mailboxes: dict[int, Any] = {}
        self._held: dict[int, str] = {}

    # -- the driver's side

    async def leaving(self, node_ids: frozenset[str]) -> None:
        """These nodes, and no others, are about to leave the cluster."""
        self._leaving = node_ids

    async def add_crew(self, number: int, mailbox: Any) -> None:
        """One crew more, with a mailbox that slots may claim."""
        self._mailboxes[number] = mailbox

    async def dismiss(self, count: int) -> list[int]:
        """Take away up to so many crews that no slot holds; return which."""
        idle = [number for number in self._mailboxes if number not in self._held][:count]
        for number in idle:
            del self._mailboxes[number]
        return idle

    # -- the slots' side

    async def is_leaving(self, node_ids: Collection[str]) -> bool:
        """Whether any of these nodes is about to leave."""
        return not self._leaving.isdisjoint(node_ids)

    async def crews(self) -> dict[int, Any]:
        """The mailboxes of all crews, by the crew's number."""
        return dict(self._mailboxes)

    async def hold(self, number: int, slot: str) -> None:
        """A slot has claimed this crew's mailbox, maybe after another that died with it."""
        self._held[number] = slot

    async def release(self, slot: str) -> None:
        """A slot has ended, and whatever it held is free."""
        self._held = {number: holder for number, holder in self._held.items() if holder != slot}
