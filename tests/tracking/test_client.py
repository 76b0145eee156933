"""The file that records go to: whole, or not there."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from trainyard.tracking.client import Unreachable, open_client


def tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_whoever_is_stopped_while_the_tables_are_made_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mlflow.db"

    def stops_half_way(engine: Any) -> None:
        from mlflow.store.tracking.dbmodels.initial_models import Base

        Base.metadata.create_all(engine)
        raise OSError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.store.db.utils._initialize_tables", stops_half_way)
        with pytest.raises(Unreachable, match="stopped"):
            open_client(f"sqlite:///{file}")
    assert list(tmp_path.iterdir()) == []
    assert open_client(f"sqlite:///{file}").search_experiments() is not None
    assert "secrets" in tables(file)


def test_what_is_there_already_is_taken_as_it_is(store: str, tmp_path: Path) -> None:
    before = open_client(store).create_experiment("kept")
    assert open_client(store).get_experiment(before).name == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def _open(uri: str) -> int:
    return len(open_client(uri).search_experiments())


def test_two_that_make_it_at_a_time_get_the_same_file(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(_open, [uri, uri]))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
