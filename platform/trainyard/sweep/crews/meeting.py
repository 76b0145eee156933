"""How the workers of a crew form their process group, on one machine or on several."""

import datetime
import fcntl
import os
import socket
import struct
from typing import Any

import ray
import torch.distributed as dist

from trainyard.sweep.slots.workers import describe
from trainyard.training.member import Member

MEETING_TIMEOUT = datetime.timedelta(minutes=5)
"""Workers come as soon as they have imported what they need, some later than others."""

EXCHANGE_TIMEOUT = datetime.timedelta(minutes=30)
"""A worker may be behind by an evaluation. That of a dead one is noticed at once, by Ray."""

_SIOCGIFADDR = 0x8915
"""Linux's request for the address of a network interface."""


class Meeting:
    """Forms the process group of a generation of workers, as often as is asked for: after a failure they may stand at
    different collectives.

    Rank 0 opens a store at the address by which its node is known to the cluster, on a port that is free, and pins it
    up in the mailbox.
    """

    def __init__(self, mailbox: Any, generation: str, member: Member) -> None:
        self._mailbox = mailbox
        self._generation = generation
        self._member = member
        self._backend = "nccl" if member.torch_device.type == "cuda" else "gloo"

    def form(self, round_number: int) -> None:
        """Meet the others of the same round. A lone worker meets nobody.

        OSError, RuntimeError or DistError if it can't be: on every rank, none waits for one that has failed.
        """
        member = self._member
        self.leave()
        if member.workers == 1:
            return
        key = f"{self._generation}/{round_number}"
        here = ray.util.get_node_ip_address()
        if self._backend == "gloo" and (interface := interface_of(here)):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        if member.rank == 0:
            store = self._announced(key, here)
        else:
            host, port = _address(ray.get(self._mailbox.read.remote(key)))
            store = dist.TCPStore(host, port, member.workers, is_master=False, timeout=MEETING_TIMEOUT)
        dist.init_process_group(
            self._backend, store=store, rank=member.rank, world_size=member.workers, timeout=EXCHANGE_TIMEOUT
        )

    def _announced(self, key: str, address: str) -> dist.TCPStore:
        """A new store, of which the others hear; or of what it failed at."""
        try:
            store = _open_store(address, self._member.workers)
        except Exception as error:
            ray.get(self._mailbox.post.remote(key, describe(error)))
            raise
        ray.get(self._mailbox.post.remote(key, (address, store.port)))
        return store

    def leave(self) -> None:
        """Close the connections, if there are any. With gloo the others' exchanges fail at once."""
        if dist.is_initialized():
            dist.destroy_process_group()


def _address(posted: tuple[str, int] | str) -> tuple[str, int]:
    """Of rank 0's store; DistNetworkError where it told why it has none, which is rank 0's failure and not ours."""
    if isinstance(posted, str):
        raise dist.DistNetworkError(f"rank 0 opened no store: {posted}")
    return posted


def _open_store(address: str, workers: int) -> dist.TCPStore:
    """A store that listens at this address only: by itself it would at all that the machine has."""
    try:
        listening = socket.create_server((address, 0))
    except OSError:  # the machine is known by an address that is another's, which hands on to it
        listening = socket.create_server(("", 0))
    port = listening.getsockname()[1]
    return dist.TCPStore(
        address,
        port,
        workers,
        is_master=True,
        timeout=MEETING_TIMEOUT,
        wait_for_workers=False,
        master_listen_fd=listening.detach(),
    )


def interface_of(address: str) -> str | None:
    """The network interface with this IPv4 address; None where none has it.

    By itself gloo takes that of the address to which the machine's name resolves, on many machines 127.0.1.1: workers
    on other machines would look for it at home.
    """
    if address.startswith("127."):
        address = "127.0.0.1"  # all of these are the loopback's, which says so of this one only
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:  # it has no address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None
