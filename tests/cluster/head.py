"""A Ray head as `ray start --head` makes it, with its dashboard and job submission, for as long as tests need it."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PORTS = (
    "port",
    "dashboard-port",
    "ray-client-server-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
    "runtime-env-agent-port",
    "node-manager-port",
    "object-manager-port",
)


@dataclass(frozen=True)
class Head:
    """address: of the dashboard. environment: that the head was started in, but for a token."""

    address: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def ray_head(*, cpus: int, environment: Mapping[str, str] | None = None) -> Iterator[Head]:
    """Start a head on free ports of loopback, with the Python of the tests on its PATH; it ends with the context."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    # A short name: the paths of sockets have 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="ry", dir="/tmp", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "start.log"
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            *("--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1", "--temp-dir", folder),
            *("--num-cpus", str(cpus), "--object-store-memory", str(150 * 2**20), "--disable-usage-stats"),
            *(f"--{name}={port}" for name, port in ports.items()),
        ]
        process = subprocess.Popen(
            command,
            env=_surroundings() | dict(environment or {}),
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        address = f"http://127.0.0.1:{ports['dashboard-port']}"
        try:
            _wait(address, process, log)
            yield Head(address, process)
        finally:
            if process.poll() is not None:
                print(f"The head ended by itself:\n{log.read_text(errors='replace')}")
            # `ray start --block` takes the processes that it started with it when it is asked to end.
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _surroundings() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW", "TRAINYARD"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH", "")])
    return own | {"PATH": path, "RAY_AUTH_MODE": "disabled"}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, above those of Ray's workers and below those that the kernel gives to whoever
    connects: it may be a minute until Ray takes them, and without one of them its head ends."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.Random().sample(range(20_000, 32_000), 1000):
            if len(found) == count:
                return found
            each = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                each.bind(("127.0.0.1", port))
                found.append(port)
    raise AssertionError("no ports are free")


def _wait(address: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            try:
                urllib.request.urlopen(f"{address}/api/version", timeout=5).close()
            except urllib.error.HTTPError as error:
                if error.code not in (401, 403):
                    raise
            return
        time.sleep(0.2)
    raise AssertionError(f"the head did not start:\n{log.read_text(errors='replace')}")
