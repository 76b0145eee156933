"""Real stores of MLflow, cheap: the schema is made once, and every test gets a copy of the file."""

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trainyard.tracking.client import open_client, search_experiments, search_runs
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder


@dataclass(frozen=True)
class Recorded:
    """A run as MLflow holds it. history: by metric, every (step, value) in the order of the steps."""

    run_id: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    history: dict[str, list[tuple[int, float]]]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_client(f"sqlite:///{path}")
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> str:
    """The URI of an empty SQLite store."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorder waits for tenths of what it waits for otherwise."""
    monkeypatch.setattr("trainyard.tracking.recorder._BATCH_SECONDS", 0.1)
    monkeypatch.setattr("trainyard.tracking.recorder._HOLD_SECONDS", 0.2)
    monkeypatch.setattr("trainyard.tracking.recorder._FIRST_PAUSE", 0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sweep's folder."""
    return tmp_path / "sweep"


@pytest.fixture
def started(store: str, folder: Path) -> Iterator[Callable[..., Recorder]]:
    """Starts a recorder, by default into the store, for a test that closes it itself."""
    with ExitStack() as stack:

        def start(uri: str = store, **options: Any) -> Recorder:
            journal = stack.enter_context(Journal(folder / "journal.jsonl"))
            recorder = Recorder(journal, uri, "test", **{"grace": 0.0, **options})
            recorder.start()
            return recorder

        yield start


@pytest.fixture
def recording(store: str, folder: Path) -> Callable[..., Any]:
    """`with recording() as recorder:` records into the store, and has delivered everything at the end."""

    @contextmanager
    def record(uri: str = store, **options: Any) -> Iterator[Recorder]:
        with Journal(folder / "journal.jsonl") as journal:
            recorder = Recorder(journal, uri, "test", **{"grace": 0.0, **options})
            recorder.start()
            yield recorder
            recorder.close(60)

    return record


@pytest.fixture
def recorded(store: str) -> Callable[[], dict[str, Recorded]]:
    """What the store holds, by the name of the run. Two runs of one name are a failure."""

    def read() -> dict[str, Recorded]:
        client = open_client(store)
        with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database:
            history: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
            rows = database.execute("SELECT run_uuid, key, step, value, is_nan FROM metrics ORDER BY step, timestamp")
            for run_id, key, step, value, is_nan in rows:
                history[run_id][key].append((step, float("nan") if is_nan else value))
        runs = search_runs(client, search_experiments(client), "")
        assert len({run.info.run_name for run in runs}) == len(runs), "a run is there twice"
        return {
            run.info.run_name: Recorded(
                run.info.run_id,
                run.info.status,
                run.data.tags,
                run.data.params,
                run.data.metrics,
                dict(history[run.info.run_id]),
            )
            for run in runs
        }

    return read
