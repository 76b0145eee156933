"""The roster is a plain asyncio object: no Ray here."""

import asyncio
from collections.abc import Awaitable, Callable

from trainyard.sweep.roster import Roster


def run(scenario: Callable[[Roster], Awaitable[None]]) -> None:
    asyncio.run(scenario(Roster()))  # type: ignore[arg-type]


def test_a_slot_hears_whether_one_of_its_nodes_leaves() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.leaving(frozenset({"b"}))
        assert await roster.is_leaving({"a", "b"})
        assert not await roster.is_leaving({"a"})
        await roster.leaving(frozenset())
        assert not await roster.is_leaving({"b"})

    run(scenario)


def test_crews_that_are_held_are_not_dismissed() -> None:
    async def scenario(roster: Roster) -> None:
        for number in range(3):
            await roster.add_crew(number, f"mailbox {number}")
        await roster.hold(0, "slot")
        await roster.hold(2, "another")
        assert await roster.dismiss(2) == [1]
        assert await roster.crews() == {0: "mailbox 0", 2: "mailbox 2"}

    run(scenario)


def test_a_crew_is_free_when_its_slot_has_ended() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.add_crew(0, "mailbox")
        await roster.hold(0, "slot")
        await roster.release("slot")
        assert await roster.dismiss(1) == [0]

    run(scenario)


def test_a_crew_that_a_second_slot_has_claimed_is_not_freed_by_the_first() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.add_crew(0, "mailbox")
        await roster.hold(0, "dead slot")
        await roster.hold(0, "its successor")
        await roster.release("dead slot")
        assert await roster.dismiss(1) == []

    run(scenario)
