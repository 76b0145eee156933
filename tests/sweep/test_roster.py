"""The roster is a plain asyncio object: no Ray here."""

import asyncio
from collections.abc import Awaitable, Callable

from trainyard.sweep.roster import Roster


def run(expected: int, scenario: Callable[[Roster], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(Roster(expected)), 5))  # type: ignore[arg-type]


def test_nobody_goes_on_before_all_slots_are_there() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.arrive("one")
        waiting = asyncio.create_task(roster.gathered(5))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await roster.arrive("two")
        await waiting

    run(2, scenario)


def test_a_lost_slot_is_waited_for() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.arrive("one")
        await roster.lost()
        waiting = asyncio.create_task(roster.gathered(5))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await roster.arrive("its successor")
        await waiting

    run(1, scenario)


def test_after_one_time_out_nobody_waits_again() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.gathered(0.01)
        await asyncio.wait_for(roster.gathered(60), 1)

    run(2, scenario)
