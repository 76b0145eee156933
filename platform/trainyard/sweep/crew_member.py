"""What one worker of a crew does: fetch a command from the mailbox, carry it out, answer."""

import datetime
import os
import socket
import uuid
from typing import Any

import ray
import torch
import torch.distributed as dist

from trainyard.errors import Diverged, TrainyardError
from trainyard.sweep.mailbox import Answer, Command
from trainyard.sweep.worker import Worker
from trainyard.sweep.workers import describe, release
from trainyard.training.trial import Member

REGROUP_TIMEOUT = datetime.timedelta(seconds=60)


def serve(mailbox: Any, orders: Any) -> None:
    """Join the crew and serve until told to leave. Only the loss of the process or of the mailbox ends it otherwise."""
    try:
        member = _member()
        torch.set_num_threads(orders.job.resources.cpus_per_worker)
        worker = Worker(orders.job, orders.data.read, member=member, directory=orders.directory)
        generation = _common_generation()
        ray.get(mailbox.join.remote(rank=member.rank, size=member.workers, generation=generation))
    except Exception as error:
        ray.get(mailbox.broken.remote(os.environ.get("RANK", "0"), describe(error)))
        raise
    _Serving(mailbox, worker, member, generation).loop()


def _member() -> Member:
    from ray.train import get_context
    from ray.train.torch import get_device

    context = get_context()
    return Member(rank=context.get_world_rank(), workers=context.get_world_size(), device=str(get_device()))


def _common_generation() -> str:
    """A random text that the workers of this process group share."""
    box: list[str] = [uuid.uuid4().hex]
    dist.broadcast_object_list(box, src=0)
    return box[0]


class _Serving:
    """The loop of one worker."""

    def __init__(self, mailbox: Any, worker: Worker, member: Member, generation: str) -> None:
        self._mailbox = mailbox
        self._worker = worker
        self._member = member
        self._generation = generation
        self._backend = dist.get_backend()

    def loop(self) -> None:
        done = 0
        while True:
            command: Command | None = ray.get(self._mailbox.next.remote(generation=self._generation, after=done))
            if command is None:
                continue
            if command.verb == "leave":
                return self._worker.stop()
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
            if dist.is_initialized():
                dist.destroy_process_group()
            failure = str(error) if isinstance(error, TrainyardError) else describe(error)
            disconnected, findings = _is_disconnection(error), self._worker.findings
            release(error)
            self._worker.stop()
            return Answer(
                rank=rank,
                failure=failure,
                diverged=isinstance(error, Diverged),
                disconnected=disconnected,
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
            case "quit":
                os._exit(1)
            case "regroup":
                return self._regroup(command.payload)
        raise AssertionError(f"unknown command {command.verb!r}")

    def _regroup(self, round_number: int) -> None:
        """Make the process group anew, at an address that rank 0 pins up in the mailbox."""
        if dist.is_initialized():
            dist.destroy_process_group()
        key = f"{self._generation}/{round_number}"
        if self._member.rank == 0:
            ray.get(self._mailbox.post.remote(key, f"tcp://{ray.util.get_node_ip_address()}:{_free_port()}"))
        address = ray.get(self._mailbox.read.remote(key))
        dist.init_process_group(
            self._backend,
            init_method=address,
            rank=self._member.rank,
            world_size=self._member.workers,
            timeout=REGROUP_TIMEOUT if self._backend == "gloo" else None,
        )


def _is_disconnection(error: BaseException | None) -> bool:
    """Whether a failure is that of the connection to another worker. Gloo's errors have no type of their own."""
    while error is not None:
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower()):
            return True
        error = error.__cause__
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
