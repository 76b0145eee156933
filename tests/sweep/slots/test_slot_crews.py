"""How a slot comes to a crew: the real roster and the real slot's side of it, without Ray between them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import RayActorError

from trainyard.sweep.crews import crew
from trainyard.sweep.crews.roster import Roster
from trainyard.sweep.slots import slot
from trainyard.sweep.slots.workers import CrewLost, NoWorkers


class Ended(BaseException):
    """The process of a slot has ended."""


class Actor:
    """An object whose methods are called as an actor's, and answer at once. alive: else every call is refused."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self.alive = True

    def __getattr__(self, name: str) -> "Method":
        return Method(self, getattr(self._content, name))


class Method:
    def __init__(self, actor: Actor, method: Callable[..., Any]) -> None:
        self._actor = actor
        self._method = method

    def remote(self, *arguments: Any) -> Any:
        return asyncio.run(self._method(*arguments)) if self._actor.alive else RayActorError()


class Yard:
    """A roster with crews, and slots by name that come to it one after the other."""

    def __init__(self, crews: int, patch: pytest.MonkeyPatch) -> None:
        self.roster = Roster()
        self.actor: Any = Actor(self.roster)
        self._patch = patch
        for number in range(crews):
            self.add(number)

    def add(self, number: int) -> None:
        asyncio.run(self.roster.add_crew(number, f"mailbox {number}"))

    def expect(self, slots: int) -> None:
        asyncio.run(self.roster.expect(slots))

    def excused(self, name: str) -> bool:
        return asyncio.run(self.roster.is_excused(name))

    def be(self, name: str) -> None:
        """Whose process this is from now on."""
        self._patch.setattr(slot, "_own_id", lambda: name)

    def slot(self, name: str) -> Any:
        self.be(name)
        return slot._crew(self.actor)

    def another(self, name: str) -> Any:
        self.be(name)
        return slot._OtherCrews(self.actor).another()


def answer(reply: Any) -> Any:
    if isinstance(reply, RayActorError):
        raise reply
    return reply


def end() -> None:
    raise Ended


@pytest.fixture
def yard(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Yard]:
    monkeypatch.setattr(slot.ray, "get", answer)
    monkeypatch.setattr(slot.ray.actor, "exit_actor", end)
    monkeypatch.setattr(slot, "TAKE_SECONDS", 0.0)
    monkeypatch.setattr(crew, "CrewWorkers", lambda mailbox, others: mailbox)
    return lambda crews: Yard(crews, monkeypatch)


def test_each_slot_has_a_crew_of_its_own_and_one_too_many_ends_excused(yard: Callable[[int], Yard]) -> None:
    two = yard(2)
    assert {two.slot("first"), two.slot("second")} == {"mailbox 0", "mailbox 1"}
    with pytest.raises(Ended):
        two.slot("third")
    assert [two.excused(name) for name in ("first", "second", "third")] == [False, False, True]


def test_a_slot_whose_crew_is_not_there_takes_a_free_one_and_leaves_its_own(yard: Callable[[int], Yard]) -> None:
    three = yard(3)
    three.expect(2)
    three.slot("first")
    three.slot("second")
    assert three.another("first") == "mailbox 2"
    assert three.slot("third") == "mailbox 0"


def test_a_slot_keeps_its_crew_where_others_hold_the_rest_and_there_is_room_for_all(
    yard: Callable[[int], Yard],
) -> None:
    two = yard(2)
    two.expect(2)
    two.slot("first")
    two.slot("second")
    assert two.another("first") is None


def test_a_slot_that_is_one_too_many_leaves_its_trial_to_another(yard: Callable[[int], Yard]) -> None:
    two = yard(2)
    two.slot("first")
    two.slot("second")
    two.expect(1)
    with pytest.raises(Ended):
        two.another("first")
    assert two.excused("first")
    assert two.another("second") == "mailbox 0", "what the other held is free"


def test_without_a_roster_a_slot_ends_the_sweep_and_not_its_trial(yard: Callable[[int], Yard]) -> None:
    one = yard(1)
    one.actor.alive = False
    workers = one.slot("first")
    assert isinstance(workers, NoWorkers)
    with pytest.raises(CrewLost, match="the roster of the sweep died") as lost:
        workers.start({})
    assert lost.value.final
    assert one.another("first") is None
