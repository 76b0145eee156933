"""What one worker of a crew does: fetch a command from the mailbox, carry it out, answer."""

import os
from typing import Any

import ray
import torch
import torch.distributed as dist

from trainyard.cluster.liveness import gone_or_going, living_nodes
from trainyard.errors import Diverged, StorageError
from trainyard.spec.training import Resources
from trainyard.sweep.crews.backend import GENERATION
from trainyard.sweep.crews.mailbox import Answer, Command
from trainyard.sweep.crews.meeting import Meeting
from trainyard.sweep.slots.worker import Worker
from trainyard.sweep.slots.workers import describe, reason_of, release
from trainyard.training.process import prepare_process
from trainyard.training.trial import Member


def serve(mailbox: Any, orders: Any) -> None:
    """Join the crew and serve until told to leave. Only the loss of the process or of the mailbox ends it otherwise."""
    generation = os.environ[GENERATION]
    nodes = living_nodes()
    try:
        member = _member(orders.job.resources)
        prepare_process(orders.job.resources.cpus_per_worker)
        worker = Worker(orders.job, orders.data.read, member=member, directory=orders.directory)
        meeting = Meeting(mailbox, generation, member)
        meeting.form(0)
        node = ray.get_runtime_context().get_node_id()
        ray.get(mailbox.join.remote(rank=member.rank, size=member.workers, generation=generation, node=node))
    except Exception as error:
        if _is_disconnection(error) and gone_or_going(nodes):
            raise  # those whose machine has died could not be met
        ray.get(mailbox.broken.remote(os.environ.get("RANK", "0"), describe(error)))
        raise
    _Serving(mailbox, worker, member, meeting, generation).loop()


def _member(resources: Resources) -> Member:
    from ray.train import get_context

    context = get_context()
    rank, workers, local_rank = context.get_world_rank(), context.get_world_size(), context.get_local_rank()
    # As torchrun has it: for the user's own code, and for libraries that look there.
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(workers), "LOCAL_RANK": str(local_rank)}
    return Member(rank=rank, workers=workers, device=_device() if resources.gpus_per_worker else "cpu")


def _device() -> str:
    # Where there is no GPU, nobody waits for this import.
    from ray.train.torch import get_device

    device = get_device()
    torch.cuda.set_device(device)
    return str(device)


class _Serving:
    """The loop of one worker."""

    def __init__(self, mailbox: Any, worker: Worker, member: Member, meeting: Meeting, generation: str) -> None:
        self._mailbox = mailbox
        self._worker = worker
        self._member = member
        self._meeting = meeting
        self._generation = generation

    def loop(self) -> None:
        done = 0
        while True:
            command: Command | None = ray.get(self._mailbox.next.remote(generation=self._generation, after=done))
            if command is None:
                continue
            if command.verb == "leave":
                return self._worker.stop()
            if command.verb == "quit":
                os._exit(1)
            answer = self._carry_out(command)
            done = command.number
            ray.get(self._mailbox.answer.remote(generation=self._generation, number=done, answer=answer))

    def _carry_out(self, command: Command) -> Answer:
        rank = self._member.rank
        try:
            return Answer(rank=rank, value=self._value(command))
        except Exception as error:
            # The other workers may be waiting for this one in a collective: closing the connections makes their call
            # fail at once with gloo. NCCL notices after its own time-out, ends the process, and the crew is built anew.
            self._meeting.leave()
            failure, unread = reason_of(error), isinstance(error, StorageError)
            disconnected, findings = _is_disconnection(error), self._worker.findings
            release(error)
            self._worker.stop()
            return Answer(
                rank=rank,
                failure=failure,
                diverged=isinstance(error, Diverged),
                disconnected=disconnected,
                unread=unread,
                findings=findings,
            )

    def _value(self, command: Command) -> Any:
        match command.verb:
            case "start":
                return self._worker.start(*command.payload)
            case "epoch":
                return self._worker.epoch()
            case "state":
                return self._worker.state()
            case "save":
                return self._worker.save(command.payload)
            case "draw":
                return self._worker.draw(command.payload)
            case "stop":
                return self._worker.stop()
            case "regroup":
                return self._meeting.form(command.number)
        raise AssertionError(f"unknown command {command.verb!r}")


def _is_disconnection(error: BaseException | None) -> bool:
    """Whether a failure is that of the connection to another worker. Gloo's errors have no type of their own."""
    while error is not None:
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower()):
            return True
        error = error.__cause__
    return False
