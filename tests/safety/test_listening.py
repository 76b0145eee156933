"""What runs on a laptop is heard by nobody else: every socket that listens does so on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest


def open_to_others(processes: Iterator[psutil.Process] | list[psutil.Process]) -> list[str]:
    """The sockets of these processes at which another machine could ask."""
    found = []
    for process in processes:
        try:
            name = " ".join(process.cmdline()[:3])
            for connection in process.net_connections(kind="inet"):
                waits = connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
                if waits and connection.laddr and not connection.raddr and not _is_loopback(connection.laddr.ip):
                    found.append(f"{connection.laddr.ip}:{connection.laddr.port} of {name}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _is_loopback(address: str) -> bool:
    """Also as a socket for both kinds of addresses has it: `::ffff:127.0.0.1`."""
    ip = ip_address(address)
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def listening(process: psutil.Process) -> list[int]:
    """The ports at which a process and its children listen."""
    family = [process, *process.children(recursive=True)]
    return [
        connection.laddr.port
        for member in family
        for connection in member.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]


def test_an_open_socket_is_found() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert [one for one in open_to_others([psutil.Process()]) if one.startswith(f"0.0.0.0:{port} ")]


@pytest.mark.cluster
def test_a_ray_of_our_own_listens_on_loopback(ray_nodes: list[dict[str, float]]) -> None:
    """The driver, the server of the cluster's state, raylet, object store, agents and workers."""
    import ray

    @ray.remote(num_cpus=0.01)
    def work() -> int:
        return os.getpid()

    assert ray.get(work.remote()) != os.getpid()  # a worker is there, too
    family = psutil.Process().children(recursive=True)
    names = " ".join(process.name() for process in family)
    assert "gcs_server" in names
    assert "raylet" in names
    assert open_to_others([psutil.Process(), *family]) == []


@pytest.mark.slow
def test_the_ui_listens_on_loopback(tmp_path: Path) -> None:
    from trainyard.tracking.client import open_client

    open_client(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "trainyard", "ui", "--results", str(tmp_path), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    served = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        process = psutil.Process(served.pid)
        end = time.monotonic() + 60
        while port not in listening(process):
            assert time.monotonic() < end, "the UI does not come up"
            time.sleep(0.2)
        assert open_to_others([process, *process.children(recursive=True)]) == []
    finally:
        os.killpg(served.pid, signal.SIGKILL)
        served.wait()
