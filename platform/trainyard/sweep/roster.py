"""The roster of a sweep's slots: who is there, and who is still awaited."""

import asyncio

GATHER_SECONDS = 60.0
"""A slot waits so long for the others, then goes on: a cluster may never grow to the size that was asked for."""


class Roster:
    """Counts slots in. A plain asyncio object; the sweep runs it as a zero-CPU actor."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._arrived: set[str] = set()
        self._changed = asyncio.Condition()
        self._gave_up = False

    async def arrive(self, slot: str) -> None:
        """A slot has started."""
        async with self._changed:
            self._arrived.add(slot)
            self._changed.notify_all()

    async def lost(self) -> None:
        """A slot has died and Tune is starting another: wait for one more."""
        async with self._changed:
            self._expected += 1
            self._gave_up = False

    async def gathered(self, timeout: float) -> None:
        """Return when all expected slots are there, or after `timeout` seconds; from then on at once."""
        async with self._changed:
            if self._gave_up:
                return
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: len(self._arrived) >= self._expected), timeout)
            except TimeoutError:
                self._gave_up = True
