"""What of a crew's losses is its trial's doing, and that none of its workers waits for one that has failed."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import ray
import torch.distributed as dist

from trainyard.cluster.liveness import gone_or_going, living_nodes
from trainyard.sweep.crews.crew import CrewWorkers, beside_driver
from trainyard.sweep.crews.mailbox import Answer, Mailbox
from trainyard.sweep.crews.meeting import Meeting
from trainyard.sweep.slots.workers import CrewLost
from trainyard.training.member import Member

pytestmark = pytest.mark.cluster

GONE = "f" * 56
"""The id of a node that is not there."""


@pytest.fixture
def mailbox(ray_nodes: object) -> Iterator[Any]:
    mailbox = beside_driver(Mailbox)
    yield mailbox
    ray.kill(mailbox)


def here() -> str:
    return str(ray.get_runtime_context().get_node_id())


def join(mailbox: Any, generation: str, node: str) -> None:
    ray.get(mailbox.join.remote(rank=0, size=1, generation=generation, node=node))


def lost(mailbox: Any, node: str, answer: Answer | None = None) -> CrewLost:
    """What the slot hears of its command when the only worker, on this node, dies, or when it answers so."""
    join(mailbox, "old", node)
    with ThreadPoolExecutor(1) as slot:
        start = slot.submit(CrewWorkers(mailbox).start, {})
        command = ray.get(mailbox.next.remote(generation="old", after=0))
        if answer is not None:
            ray.get(mailbox.answer.remote(generation="old", number=command.number, answer=answer))
            ray.get(mailbox.next.remote(generation="old", after=command.number))  # to form its group anew
        join(mailbox, "new", here())
        failure = start.exception(timeout=30)
    assert isinstance(failure, CrewLost)
    return failure


def test_a_node_that_is_there_is_neither_gone_nor_going(ray_nodes: object) -> None:
    assert here() in living_nodes()
    assert not gone_or_going({here()})
    assert gone_or_going({here(), GONE})
    assert not gone_or_going(())


@pytest.mark.parametrize("gone", [False, True])
def test_the_loss_of_a_crew_counts_unless_a_node_went_with_it(mailbox: Any, gone: bool) -> None:
    assert lost(mailbox, GONE if gone else here()).counts is not gone


@pytest.mark.parametrize("gone", [False, True])
def test_so_does_a_connection_that_broke(mailbox: Any, gone: bool) -> None:
    broken = Answer(rank=0, failure="connection reset", disconnected=True)
    assert lost(mailbox, GONE if gone else here(), broken).counts is not gone


def test_nobody_waits_for_a_rank_0_that_could_not_open_its_store(mailbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*address: object) -> None:
        raise OSError("no port is free")

    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(OSError, match="no port is free"):
        Meeting(mailbox, "a", Member(rank=0, workers=2)).form(1)
    with pytest.raises(dist.DistNetworkError, match=r"rank 0 opened no store: OSError: no port is free"):
        Meeting(mailbox, "a", Member(rank=1, workers=2)).form(1)
