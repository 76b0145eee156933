"""The door to MLflow: its client, its settings in this process, and what its errors mean."""

import contextlib
import logging
import os
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from trainyard.tracking.uri import masked, sqlite_path

_FINAL = {
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}
"""What MLflow says of something that it will never take."""
_PASSING = {"REQUEST_LIMIT_EXCEEDED", "TEMPORARILY_UNAVAILABLE"}
"""What it says when too much is asked of it, or of a database that is locked or full."""
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # The recorder waits and tries again itself. With MLflow's own 7 tries one call can hang for 4 minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # Else ending a run asks for it once more, only to print its address.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment variables for mlflow in this process; those that are set already stay."""
_PAGE = 1000


class Unreachable(Exception):
    """MLflow did not take it now; it may later. `passing`: MLflow itself says that it will."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class Refused(Exception):
    """MLflow will never take it."""


def open_client(uri: str) -> Any:
    """Import mlflow and connect; a SQLite file gets its tables here, before anything is written. Raises Unreachable.

    Costs 1.4 s of CPU for the import, and for SQLite 0.7 s more, and 1.2 s where the file has to be made. No public
    module of mlflow is lighter: all run its `__init__`, which loads pandas, fastapi and what else it has.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    return call(_connect, uri)


def _connect(uri: str) -> Any:
    from mlflow import MlflowClient

    # They log every call that met a busy database or a closed connection; we say so once, and try again.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    file = sqlite_path(uri)
    if file is not None and not file.exists():
        _make_database(file)
    return MlflowClient(uri)


def _make_database(file: Path) -> None:
    """Have mlflow make its tables in another file, and give that the name when it is whole.

    Made in place, it would be of no use for ever where the process is killed meanwhile: mlflow begins again with its
    first table, and stumbles over it.
    """
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as folder:
        begun, whole = Path(folder, "begun.db"), Path(folder, "whole.db")
        MlflowClient(f"sqlite:///{begun}")
        # A copy, as mlflow keeps the file open that it has made.
        with closing(sqlite3.connect(begun)) as source, closing(sqlite3.connect(whole)) as copy:
            source.backup(copy)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(whole, file)


def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a method of the client; whatever goes wrong is Unreachable or Refused, in one line without credentials."""
    try:
        return function(*args, **options)
    except Exception as error:
        code = getattr(error, "error_code", None)
        if code in _FINAL:
            raise Refused(_in_short(error)) from error
        raise Unreachable(_in_short(error), passing=code in _PASSING) from error


def _in_short(error: BaseException) -> str:
    """One line: of a failed connection or a database what the system said, else what MLflow says."""
    root = error
    while below := root.__cause__ or root.__context__:
        root = below
    told = root if isinstance(root, OSError | sqlite3.Error) else error
    said = (told.strerror if isinstance(told, OSError) else None) or str(told).strip().split("\n")[0]
    return masked(said)[:300] or type(told).__name__


def search_runs(client: Any, experiments: Sequence[str], condition: str) -> list[Any]:
    """All runs that meet a condition, the oldest first: one that is created meanwhile can't move the pages."""
    runs: dict[str, Any] = {}
    token: str | None = None
    while True:
        page = call(
            client.search_runs,
            list(experiments),
            filter_string=condition,
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        runs.update((run.info.run_id, run) for run in page)
        token = page.token
        if not token:
            return list(runs.values())


def search_experiments(client: Any) -> list[str]:
    """The ids of all experiments."""
    ids: list[str] = []
    token: str | None = None
    while True:
        page = call(client.search_experiments, max_results=_PAGE, page_token=token)
        ids += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            return ids
