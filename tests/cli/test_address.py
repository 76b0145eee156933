"""The address of a cluster is tried before Ray tries it."""

import socket

import pytest

from trainyard.cli.address import check_address
from trainyard.errors import UsageError


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_nobody_listens(address: str) -> None:
    with pytest.raises(UsageError, match=f"^No Ray cluster answers at {address}: connection refused. Start one with"):
        check_address(address)


def test_no_port_at_all() -> None:
    with pytest.raises(UsageError, match=r"^--address must be auto, host:6379 or ray://host:10001, got localhost:abc"):
        check_address("localhost:abc")


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_somebody_listens(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"{scheme}127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("address", [None, "auto", "local"])
def test_what_ray_finds_out_itself(address: str | None) -> None:
    check_address(address)
