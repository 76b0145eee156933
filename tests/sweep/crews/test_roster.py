"""The roster is a plain asyncio object: no Ray here."""

import asyncio
from collections.abc import Awaitable, Callable

from trainyard.sweep.crews.roster import Roster


def run(scenario: Callable[[Roster], Awaitable[None]]) -> None:
    """With a roster of three crews."""

    async def prepared() -> None:
        roster = Roster()
        for number in range(3):
            await roster.add_crew(number, f"mailbox {number}")
        await scenario(roster)

    asyncio.run(prepared())


def test_a_slot_hears_whether_one_of_its_nodes_leaves() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.leaving(frozenset({"b"}))
        assert await roster.is_leaving({"a", "b"})
        assert not await roster.is_leaving({"a"})
        await roster.leaving(frozenset())
        assert not await roster.is_leaving({"b"})

    run(scenario)


def test_no_two_slots_have_one_crew() -> None:
    async def scenario(roster: Roster) -> None:
        taken = await asyncio.gather(*(roster.take(f"slot {number}") for number in range(4)))
        assert set(taken) == {"mailbox 0", "mailbox 1", "mailbox 2", None}

    run(scenario)


def test_a_crew_that_was_dismissed_is_never_granted_and_one_that_was_granted_never_dismissed() -> None:
    async def scenario(roster: Roster) -> None:
        assert await roster.take("slot") == "mailbox 0"
        assert await roster.dismiss(3) == [1, 2]
        assert await roster.take("late slot") is None

    run(scenario)


def test_a_crew_is_free_when_its_slot_has_ended() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.take("slot")
        await roster.release("slot")
        assert await roster.dismiss(3) == [0, 1, 2]

    run(scenario)


def test_crews_that_ended_by_themselves_are_taken_away_first_unless_a_slot_holds_them() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.take("slot")
        assert await roster.dismiss(0, ended=[0, 2]) == [2]
        assert await roster.exchange("slot") == "mailbox 1"

    run(scenario)


def test_the_driver_learns_that_a_slot_lacks_a_crew() -> None:
    async def scenario(roster: Roster) -> None:
        for slot in ("first", "second", "third"):
            await roster.take(slot)
        assert not (await roster.holding()).lacking
        await roster.exchange("first")
        assert (await roster.holding()).lacking
        await roster.is_there("first")
        assert not (await roster.holding()).lacking

    run(scenario)


def test_the_driver_learns_who_holds_crews_and_frees_those_of_the_dead() -> None:
    async def scenario(roster: Roster) -> None:
        for slot in ("first", "second"):
            await roster.take(slot)
        assert (await roster.holding()).slots == {"first", "second"}
        await roster.release("first")
        assert await roster.take("its successor") == "mailbox 0"

    run(scenario)


def test_a_slot_whose_crew_is_not_there_tries_the_free_ones_in_turn() -> None:
    async def scenario(roster: Roster) -> None:
        await roster.take("slot")
        assert [await roster.exchange("slot") for _ in range(3)] == ["mailbox 1", "mailbox 2", "mailbox 0"]
        assert await roster.dismiss(3) == [1, 2]

    run(scenario)


def test_a_slot_keeps_its_crew_where_others_hold_the_rest() -> None:
    async def scenario(roster: Roster) -> None:
        for slot in ("first", "second", "third"):
            await roster.take(slot)
        assert await roster.exchange("first") is None
        assert await roster.dismiss(3) == []

    run(scenario)


def test_as_many_slots_give_way_as_are_too_many_and_are_excused() -> None:
    async def scenario(roster: Roster) -> None:
        for slot in ("first", "second", "third"):
            await roster.take(slot)
        assert not await roster.gives_way("first")
        await roster.expect(2)
        assert [await roster.gives_way(slot) for slot in ("second", "third")] == [True, False]
        assert [await roster.is_excused(slot) for slot in ("second", "third")] == [True, False]
        assert await roster.take("another") == "mailbox 1"

    run(scenario)
