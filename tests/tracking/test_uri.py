import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainyard.errors import UsageError
from trainyard.tracking.uri import check_reachable, default_artifacts, masked, sqlite_path, tracking_uri


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers /health with the status that the first part of the path asks for."""

    def do_GET(self) -> None:
        status = int(self.path.split("/")[1])
        self.send_response(status if self.path.endswith("/health") or status != 404 else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_records_go_beside_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path / "results") == f"sqlite:///{tmp_path}/results/mlflow.db"


def test_the_environment_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert tracking_uri(tmp_path) == "http://host:5000"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://anna:pa55@host:5000/x", "https://***@host:5000/x"),
        ("https://ghp_token@github.com/a/b.git", "https://***@github.com/a/b.git"),
        ("postgresql+psycopg2://u:a/b@c@db/mlflow", "postgresql+psycopg2://***@db/mlflow"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("ssh://git@github.com/a/b.git", "ssh://git@github.com/a/b.git"),
        ("ssh://git:pw@github.com/a/b.git", "ssh://***@github.com/a/b.git"),
        ("https://host/x?access_token=abc&y=1", "https://host/x?access_token=***&y=1"),
        ("request to http://u:p@h/a failed, see http://h/@b", "request to http://***@h/a failed, see http://h/@b"),
        ("sqlite:////results/mlflow.db", "sqlite:////results/mlflow.db"),
    ],
)
def test_credentials_are_masked(uri: str, shown: str) -> None:
    assert masked(uri) == shown


def test_the_file_of_a_sqlite_uri() -> None:
    assert sqlite_path("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_path("sqlite:///b.db?timeout=3") == Path("b.db")
    assert sqlite_path("http://host") is None


def test_artifacts_go_beside_a_file_and_where_a_server_says() -> None:
    assert default_artifacts("sqlite:////a/mlflow.db") == "file:///a/artifacts"
    assert default_artifacts("http://host") is None


def test_a_new_file_is_fine_and_nothing_is_written_yet(tmp_path: Path) -> None:
    check_reachable(f"sqlite:///{tmp_path}/results/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_fine(store: str) -> None:
    check_reachable(store)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(
        UsageError, match=r"mlflow\.db: records cannot be written there: .*results is no folder\. Choose"
    ):
        check_reachable(f"sqlite:///{tmp_path}/results/mlflow.db")


def test_a_read_only_place_is_an_error() -> None:
    with pytest.raises(UsageError, match="records cannot be written there: no permission to write /proc/self"):
        check_reachable("sqlite:////proc/self/mlflow.db")


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("something else entirely\n" * 100)
    with pytest.raises(UsageError, match="is no usable tracking file: file is not a database"):
        check_reachable(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_folder_is_no_tracking_store_any_more(uri: str) -> None:
    with pytest.raises(
        UsageError, match=r"MLflow keeps no runs in folders any more, got .* Use a file such as sqlite:"
    ):
        check_reachable(uri)


def test_a_server_that_is_not_there_is_an_error(free_port: int) -> None:
    with pytest.raises(
        UsageError, match=f"No MLflow server answers at http://\\*\\*\\*@127.0.0.1:{free_port}: .*refused"
    ):
        check_reachable(f"http://me:secret@127.0.0.1:{free_port}")


def test_a_server_that_says_nothing_is_an_error(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.tracking.uri.ANSWER_SECONDS", 0.2)
    with pytest.raises(UsageError, match=r"No MLflow server answers at .*: timed out"):
        check_reachable(f"http://127.0.0.1:{silent_port}")


def test_a_name_that_does_not_resolve_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"No MLflow server answers at http://nowhere\.invalid: "):
        check_reachable("http://nowhere.invalid")


def test_a_server_that_answers_is_fine(server: str) -> None:
    check_reachable(f"http://{server}/200")
    check_reachable(f"http://{server}/401/")  # who may write is seen later, by mlflow, which knows the password


def test_a_proxy_that_only_passes_the_api_on_is_fine(server: str) -> None:
    check_reachable(f"http://{server}/404")


def test_a_broken_server_is_an_error(server: str) -> None:
    with pytest.raises(UsageError, match=r"is no working MLflow server \(status 503\)"):
        check_reachable(f"http://{server}/503")


def test_a_database_server_that_is_not_there_is_an_error(free_port: int) -> None:
    with pytest.raises(UsageError, match=f"Nothing answers at postgresql://\\*\\*\\*@127.0.0.1:{free_port}/mlflow"):
        check_reachable(f"postgresql://u:p@127.0.0.1:{free_port}/mlflow")


def test_mlflow_is_not_imported() -> None:
    code = (
        "import sys, trainyard.tracking.recorder, trainyard.tracking.compare, trainyard.tracking.environment\n"
        "assert not {'mlflow', 'sqlalchemy', 'pandas', 'torch', 'ray'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
