"""`compare` and `ui`."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
from PIL import Image

from trainyard.errors import UsageError
from trainyard.tracking.compare import read_sweep
from trainyard.tracking.events import Event
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder
from trainyard.tracking.uri import check_reachable

from .conftest import Answer


class Healthy(BaseHTTPRequestHandler):
    """Answers everything with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one recorded sweep."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def recorded(results: Path, events: list[Event]) -> Path:
    if not (results / "mlflow.db").exists():
        with Journal(results / "sweep" / "journal.jsonl") as journal:
            recorder = Recorder(journal, f"sqlite:///{results}/mlflow.db", "job", grace=0.0)
            recorder.start()
            for event in events:
                recorder.send(event)
            recorder.close()
    return results


def test_compare_shows_the_best_first(recorded: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("compare", "sweep", "--results", str(recorded))

    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "sweep sweep finished: 4 trials (1 diverged, 1 failed, 1 finished, 1 pruned)"
    assert [line.split()[:3] for line in lines[2:4]] == [["0", "finished", "0.9000"], ["3", "diverged", "0.5000"]]
    assert "trial 3 diverged: the loss is NaN in epoch 2" in lines
    assert lines[-3:] == ["Best: trial 0", "  optimizer.lr=0.1", "  model.dropout=0.0"]


def test_compare_says_how_many_it_left_out(recorded: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("compare", "sweep", "--results", str(recorded), "--limit", "1")

    assert "3 more; see them with --limit 4" in answer.out


def test_compare_as_json(recorded: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("compare", "sweep", "--results", str(recorded), "--format", "json", "--limit", "2")

    content = json.loads(answer.out)
    assert [trial["trial"] for trial in content["trials"]] == [0, 3]


class TestPlot:
    def test_curves_are_drawn_beside_the_table(
        self, recorded: Path, tmp_path: Path, cli: Callable[..., Answer]
    ) -> None:
        file = tmp_path / "curves.png"
        answer = cli("compare", "sweep", "--results", str(recorded), "--plot", str(file))

        assert answer.code == 0, answer.err
        assert answer.out.splitlines()[-1] == f"Curves: {file}"
        with Image.open(file) as picture:
            assert picture.format == "PNG"

    def test_the_file_is_in_json(self, recorded: Path, tmp_path: Path, cli: Callable[..., Answer]) -> None:
        file = tmp_path / "curves.svg"
        answer = cli("compare", "sweep", "--results", str(recorded), "--plot", str(file), "--format", "json")

        assert json.loads(answer.out)["plot"] == str(file)
        assert file.exists()

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ("--plot c.pdf", "can't draw c.pdf: its suffix must be .png or .svg, got .pdf."),
            (
                "--plot c.png --metric val/acc",
                "No trial of sweep sweep has a metric val/acc. Did you mean val/accuracy?",
            ),
            (
                "--plot c.png --label optimizer.rl",
                "No trial of sweep sweep has a setting optimizer.rl. What varies: optimizer.lr and",
            ),
            ("--plot nowhere/c.png", "can't write nowhere/c.png: No such file or directory."),
            ("--metric val/accuracy", "--metric and --label say what --plot draws. Add --plot FILE.png"),
        ],
    )
    def test_refused(self, arguments: str, said: str, recorded: Path, cli: Callable[..., Answer]) -> None:
        answer = cli("compare", "sweep", "--results", str(recorded), *arguments.split())

        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(said)


def test_an_unknown_sweep_is_told(recorded: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("compare", "sweeep", "--results", str(recorded))

    assert answer.code == 2
    assert answer.err == f"There is no sweep sweeep at sqlite:///{recorded}/mlflow.db. Did you mean sweep?\n"


@pytest.mark.parametrize("arguments", ["compare sweep", "ui"])
def test_nothing_was_recorded_yet(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]
) -> None:
    monkeypatch.chdir(tmp_path)

    answer = cli(*arguments.split())

    assert answer.code == 2
    assert answer.err.startswith(f"{tmp_path}/results/mlflow.db: ")


def test_ui_refuses_a_port_in_use_and_names_a_free_one(recorded: Path, cli: Callable[..., Answer]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answer = cli("ui", "--results", str(recorded), "--port", str(port))

    assert answer.code == 2
    assert answer.err.startswith(f"127.0.0.1:{port} can't be listened on: address already in use. Choose another: ")


def test_ui_refuses_an_address_that_is_not_here(recorded: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("ui", "--results", str(recorded), "--host", "203.0.113.1")

    assert answer.code == 2
    assert answer.err.endswith("Choose another --port or --host.\n")


def test_ui_becomes_the_server_of_mlflow(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda program, *rest: started.append(rest))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    answer = cli("ui", "--results", str(recorded), "--port", str(port))

    assert answer.out.startswith(f"MLflow UI at http://127.0.0.1:{port} ")
    assert answer.err == ""
    ((command, environment),) = started
    assert command[1:4] == ["-m", "mlflow", "server"]
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{recorded}/mlflow.db"
    assert command[command.index("--default-artifact-root") + 1] == f"file://{recorded}/artifacts"


def test_ui_shows_no_password_in_its_command(monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda program, *rest: started.append(rest))
    with socket.create_server(("127.0.0.1", 0)) as database, socket.create_server(("127.0.0.1", 0)) as free:
        uri = f"postgresql://me:hunter2@127.0.0.1:{database.getsockname()[1]}/mlflow"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        port = free.getsockname()[1]
        free.close()
        answer = cli("ui", "--port", str(port))

    ((command, environment),) = started
    assert environment["MLFLOW_BACKEND_STORE_URI"] == uri
    assert not [part for part in command if "hunter2" in part]
    assert "hunter2" not in answer.out + answer.err


@pytest.mark.slow
def test_ui_serves_what_was_recorded_and_has_no_database_in_a_command(recorded: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "trainyard", "ui", "--results", str(recorded), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as ui:
        try:
            until = time.monotonic() + 120
            while _silent(f"http://127.0.0.1:{port}"):
                assert ui.poll() is None, "the server has ended"
                assert time.monotonic() < until, "the server does not come up"
                time.sleep(0.2)
            assert len(read_sweep(f"http://127.0.0.1:{port}", "sweep").rows) == 4
            family = [psutil.Process(ui.pid), *psutil.Process(ui.pid).children(recursive=True)]
            assert not [part for process in family for part in process.cmdline() if "mlflow.db" in part]
        finally:
            os.killpg(ui.pid, signal.SIGKILL)


def _silent(uri: str) -> bool:
    try:
        check_reachable(uri)
    except UsageError:
        return True
    return False


def test_ui_says_what_it_means_to_let_others_in(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]
) -> None:
    monkeypatch.setattr(os, "execve", lambda program, command, environment: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    answer = cli("ui", "--results", str(recorded), "--host", "0.0.0.0", "--port", str(port))

    assert answer.err == f"MLflow asks nobody who he is: whoever reaches 0.0.0.0:{port} can change all records.\n"


def test_ui_names_a_server_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]
) -> None:
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        answer = cli("ui")
        server.shutdown()

    assert answer == Answer(0, f"MLflow runs at http://127.0.0.1:{server.server_port}\n", "")
