"""Whether somebody listens at the address of a Ray cluster. Ray itself tries for more than ten minutes to find out."""

import socket
from urllib.parse import urlsplit

from trainyard.errors import UsageError

ANSWER_SECONDS = 3.0


def check_address(address: str | None) -> None:
    """UsageError if nothing listens at `host:6379` or `ray://host:10001`; `auto` and no address are for Ray to find."""
    place = _host_and_port(address or "")
    if place is None:
        return
    try:
        socket.create_connection(place, timeout=ANSWER_SECONDS).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"No Ray cluster answers at {address}: {reason}. Start one with `ray start --head`, or leave --address "
            "(and RAY_ADDRESS) out to run on this machine."
        ) from error


def _host_and_port(address: str) -> tuple[str, int] | None:
    try:
        split = urlsplit(address if "://" in address else f"//{address}")
        return (split.hostname, split.port) if split.hostname and split.port else None
    except ValueError as error:
        raise UsageError(f"--address must be auto, host:6379 or ray://host:10001, got {address} ({error}).") from error
