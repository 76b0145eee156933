"""Where the workers of a crew meet."""

import socket
from contextlib import closing

import pytest

from trainyard.sweep.crews.meeting import _open_store, interface_of

LOOPBACK = {name for _, name in socket.if_nameindex() if name.startswith("lo")}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_the_interface_of_a_cluster_on_one_machine_is_the_loopback(address: str) -> None:
    assert interface_of(address) in LOOPBACK


def test_an_address_that_is_another_machines_has_no_interface() -> None:
    assert interface_of("203.0.113.7") is None


def test_the_store_listens_at_the_nodes_address_only() -> None:
    store = _open_store("127.0.0.2", 1)
    with closing(socket.socket()) as elsewhere:
        assert elsewhere.connect_ex(("127.0.0.2", store.port)) == 0
    with closing(socket.socket()) as elsewhere:
        assert elsewhere.connect_ex(("127.0.0.3", store.port)) != 0
