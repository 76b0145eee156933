"""The mailbox is a plain asyncio object: no Ray here."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from trainyard.sweep.crews import mailbox as mailbox_module
from trainyard.sweep.crews.mailbox import Answer, Mailbox, Reply


def run(scenario: Callable[[Mailbox], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(scenario(Mailbox()), 5)

    return asyncio.run(bounded())


async def started(mailbox: Mailbox) -> Reply:
    """What the crew answers to its first command, once it is there."""
    assert await mailbox.ready(5)
    return await mailbox.call("start")


async def under_way(mailbox: Mailbox) -> asyncio.Task[Reply]:
    """A command that the crew has been given and has not answered."""
    call = asyncio.create_task(mailbox.call("start"))
    await asyncio.sleep(0.01)
    return call


async def worker(mailbox: Mailbox, rank: int, generation: str = "a", size: int = 2, *, commands: int = 1) -> list[str]:
    """Joins, carries out so many commands by answering with their verb, and says which they were."""
    await mailbox.join(rank=rank, size=size, generation=generation)
    done, verbs = 0, []
    while len(verbs) < commands:
        command = await mailbox.next(generation=generation, after=done)
        if command is None:
            continue
        verbs.append(command.verb)
        if command.verb in ("leave", "quit"):
            break
        done = command.number
        answer = Answer(rank=rank, value=f"{command.verb} by {rank}")
        await mailbox.answer(generation=generation, number=done, answer=answer)
    return verbs


def test_a_command_goes_to_every_worker_and_all_answers_come_back() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        reply, *_ = await asyncio.gather(started(mailbox), worker(mailbox, 0), worker(mailbox, 1))
        assert {answer.value for answer in reply.answers} == {"start by 0", "start by 1"}
        assert reply.lost is None

    run(scenario)


def test_a_crew_is_there_when_all_its_workers_are() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        assert not await mailbox.ready(0.01)
        ready = asyncio.create_task(mailbox.ready(5))
        await mailbox.join(rank=0, size=2, generation="a")
        await asyncio.sleep(0.01)
        assert not ready.done()
        await mailbox.join(rank=1, size=2, generation="a")
        assert await ready

    run(scenario)


def test_commands_are_carried_out_once_and_in_order() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        workers = [asyncio.create_task(worker(mailbox, rank, commands=3)) for rank in (0, 1)]
        assert await mailbox.ready(5)
        for verb in ("start", "epoch", "state"):
            await mailbox.call(verb)
        assert await asyncio.gather(*workers) == [["start", "epoch", "state"]] * 2

    run(scenario)


def test_a_new_generation_ends_the_command_under_way_as_lost() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        await mailbox.join(rank=0, size=2, generation="old")
        await mailbox.join(rank=1, size=2, generation="old")
        call = await under_way(mailbox)
        await mailbox.join(rank=1, size=2, generation="new")
        reply = await call
        assert reply.lost == "a worker of the crew died"
        assert not reply.final

    run(scenario)


def test_after_a_loss_the_next_command_goes_to_the_new_crew() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        for rank in (0, 1):
            await mailbox.join(rank=rank, size=2, generation="old")
        workers = [asyncio.create_task(worker(mailbox, rank, "new")) for rank in (0, 1)]
        await asyncio.sleep(0.01)
        reply = await mailbox.call("start")
        assert len(reply.answers) == 2
        await asyncio.gather(*workers)

    run(scenario)


def test_a_worker_of_a_former_generation_is_to_end_and_its_answer_is_dropped() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        await mailbox.join(rank=0, size=1, generation="old")
        await mailbox.join(rank=0, size=1, generation="new")
        command = await mailbox.next(generation="old", after=0)
        assert command is not None
        assert command.verb == "quit"  # by itself: a run of Ray Train whose workers return is over
        call = await under_way(mailbox)
        await mailbox.answer(generation="old", number=1, answer=Answer(rank=0, value="stale"))
        await mailbox.answer(generation="new", number=1, answer=Answer(rank=0, value="fresh"))
        assert [answer.value for answer in (await call).answers] == ["fresh"]

    run(scenario)


def test_a_crew_that_cannot_start_is_given_up_with_the_reason() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        ready = asyncio.create_task(mailbox.ready(5))
        for start in range(mailbox_module.BROKEN_LIMIT):
            assert not ready.done(), f"given up after {start} starts"
            for rank in ("0", "1"):
                await mailbox.broken(rank, "ModuleNotFoundError: No module named 'timm'")
        assert await ready
        reply = await mailbox.call("start")
        assert reply.final
        assert reply.lost == "the crew could not start: ModuleNotFoundError: No module named 'timm'"

    run(scenario)


def test_closing_sends_the_workers_home() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        member = asyncio.create_task(worker(mailbox, 0, size=1))
        await asyncio.sleep(0.01)
        await mailbox.close("the sweep has ended")
        assert await member == ["leave"]
        assert (await mailbox.call("epoch")).final

    run(scenario)


def test_a_request_without_news_is_answered_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "POLL_SECONDS", 0.01)

    async def scenario(mailbox: Mailbox) -> None:
        await mailbox.join(rank=0, size=1, generation="a")
        assert await mailbox.next(generation="a", after=0) is None

    run(scenario)


def test_a_new_slot_ends_what_the_one_before_it_waits_for_and_gets_its_own_answers() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        await mailbox.join(rank=0, size=1, generation="a")
        before = await under_way(mailbox)
        turn = await mailbox.hand_over()
        now = asyncio.create_task(mailbox.call("start", turn=turn))
        await asyncio.sleep(0.01)
        for number in (1, 2):
            await mailbox.answer(generation="a", number=number, answer=Answer(rank=0, value=number))
        assert (await before).lost == "another slot has the crew"
        assert [answer.value for answer in (await now).answers] == [2]

    run(scenario)


def test_a_slot_whose_crew_has_another_is_heard_no_more() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        await mailbox.join(rank=0, size=1, generation="a")
        turn = await mailbox.hand_over()
        assert (await mailbox.call("start")).lost == "another slot has the crew"
        await mailbox.let_go()
        await mailbox.stop()
        await asyncio.gather(worker(mailbox, 0, size=1), mailbox.call("start", turn=turn))

    run(scenario)


def test_what_a_slot_that_died_had_asked_for_no_other_generation_does() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        await mailbox.join(rank=0, size=1, generation="old")
        before = await under_way(mailbox)
        turn = await mailbox.hand_over()
        await before
        new = asyncio.create_task(worker(mailbox, 0, "new", size=1))
        await asyncio.sleep(0.01)
        assert not new.done()
        assert (await mailbox.call("start", turn=turn)).lost is None

    run(scenario)


def test_a_trial_is_stopped_without_waiting_for_a_crew_or_an_answer() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        await mailbox.stop()  # nobody is there
        await mailbox.join(rank=0, size=1, generation="a")
        await mailbox.stop()
        assert await worker(mailbox, 0, size=1) == ["stop"]

    run(scenario)


@pytest.mark.parametrize("news", ["forming", "let_go"])
def test_a_crew_that_is_gone_is_known_to_be_lost_before_another_has_come(news: str) -> None:
    async def scenario(mailbox: Mailbox) -> None:
        await mailbox.join(rank=0, size=1, generation="a", node="one")
        call = await under_way(mailbox)
        await getattr(mailbox, news)()
        reply = await call
        assert (reply.lost, reply.nodes) == ("a worker of the crew died", {"one"})
        assert not await mailbox.ready(0.01)

    run(scenario)


def test_a_crew_that_has_come_between_two_commands_has_no_trial_to_go_on_with() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        await asyncio.gather(worker(mailbox, 0, "old", size=1), started(mailbox))
        await mailbox.join(rank=0, size=1, generation="new")
        assert (await mailbox.call("epoch")).lost == "a worker of the crew died"

    run(scenario)


def test_what_one_worker_posts_another_reads_also_if_it_asked_first() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        reading = asyncio.create_task(mailbox.read("address"))
        await asyncio.sleep(0.01)
        await mailbox.post("address", "tcp://127.0.0.1:1")
        assert await reading == "tcp://127.0.0.1:1"

    run(scenario)


def test_a_crew_that_is_let_go_ends_and_the_next_command_waits_for_another() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        old = [asyncio.create_task(worker(mailbox, rank, "old")) for rank in (0, 1)]
        await asyncio.sleep(0.01)
        await mailbox.let_go()
        assert await asyncio.gather(*old) == [["quit"], ["quit"]]
        call = asyncio.create_task(started(mailbox))
        await asyncio.sleep(0.01)
        assert not call.done()
        await worker(mailbox, 0, "new", size=1)
        assert (await call).lost is None

    run(scenario)


def test_a_worker_that_comes_after_its_crew_was_let_go_ends_too() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        await mailbox.join(rank=0, size=2, generation="old")
        await mailbox.let_go()
        assert await worker(mailbox, 1, "old") == ["quit"]

    run(scenario)


def test_a_reply_says_where_the_crew_is() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        for rank, node in ((0, "one"), (1, "two")):
            await mailbox.join(rank=rank, size=2, generation="a", node=node)
        call = asyncio.create_task(started(mailbox))
        await asyncio.sleep(0.01)
        for rank in (0, 1):
            await mailbox.answer(generation="a", number=1, answer=Answer(rank=rank))
        assert (await call).nodes == {"one", "two"}

    run(scenario)


def test_a_crew_is_cramped_until_there_is_a_larger_one() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        async def cramped(generation: str, size: int) -> bool:
            workers = [worker(mailbox, rank, generation, size) for rank in range(size)]
            reply, *_ = await asyncio.gather(started(mailbox), *workers)
            return bool(reply.cramped)

        assert not await cramped("a", 1)
        await mailbox.room(2)
        assert await cramped("a", 1)
        await mailbox.let_go()
        assert not await cramped("b", 2)

    run(scenario)


def test_a_mailbox_says_whether_its_crew_is_still_wanted() -> None:
    async def scenario(mailbox: Mailbox) -> None:
        assert await mailbox.forming()
        await mailbox.close("the sweep has ended")
        assert not await mailbox.forming()

    run(scenario)
