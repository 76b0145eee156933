"""Where records go: the tracking URI, and whether somebody answers there. Imports no mlflow."""

import os
import re
import socket
import sqlite3
import ssl
import urllib.error
import urllib.request
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from trainyard.data.location import Location
from trainyard.errors import UsageError

ANSWER_SECONDS = 3.0
_SETTING = "MLFLOW_TRACKING_URI"
# A password may hold an unescaped slash; then the URL is of no use, but the message about it must not tell.
_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*)://(?P<user>[^/\s'\"]*|[^/:\s'\"]+:[^\s'\"]*)@")
_SECRET = re.compile(r"(?<=[?&])(?P<key>[\w.-]*(?:token|password|secret|key|sig)[\w.-]*)=[^&\s'\"]+", re.IGNORECASE)


def tracking_uri(results: Path | Location) -> str:
    """`MLFLOW_TRACKING_URI` if it is set, else a SQLite file in the results folder. UsageError for that in a bucket."""
    if uri := os.environ.get(_SETTING, "").strip():
        return uri
    place = Location.of(results)
    if place.local is None:
        raise UsageError(
            f"{place}: a bucket can't hold MLflow's database. Name a server with {_SETTING}, such as "
            f"{_SETTING}=http://127.0.0.1:5000 for one that `mlflow server` runs."
        )
    return f"sqlite:///{place.local.resolve() / 'mlflow.db'}"


def masked(uri: str) -> str:
    """The URI, or a text with URIs in it, without passwords and tokens: `https://***@host/path`.

    A bare user name before a host is kept in `ssh://git@host`, where it is no secret.
    """

    def mask(found: re.Match[str]) -> str:
        scheme, user = found["scheme"], found["user"]
        return found[0] if scheme.endswith("ssh") and ":" not in user else f"{scheme}://***@"

    return _SECRET.sub(r"\g<key>=***", _CREDENTIALS.sub(mask, uri))


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite URI; None for any other."""
    found = re.match(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)", uri)
    return Path(unquote(found["path"])) if found and found["path"] != ":memory:" else None


def default_artifacts(uri: str) -> str | None:
    """Where artifacts go: beside a SQLite file; a server decides itself."""
    path = sqlite_path(uri)
    return (path.resolve().parent / "artifacts").as_uri() if path else None


def check_reachable(uri: str) -> None:
    """Raise UsageError unless records can go to this URI now. Takes some milliseconds, at most a few times 3 s."""
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        _check_server(uri.rstrip("/"))
    elif path := sqlite_path(uri):
        _check_file(path)
    elif scheme in ("", "file"):
        raise UsageError(
            f"{_SETTING}: MLflow keeps no runs in folders any more, got {masked(uri)}. Use a file such as "
            f"sqlite:///{Path(urlsplit(uri).path).absolute() / 'mlflow.db'}, or a server."
        )
    else:
        _check_port(uri)


def _check_server(uri: str) -> None:
    try:
        status = _status(f"{uri}/health")
        if status == 404:  # a proxy may pass on nothing but the API
            status = _status(f"{uri}/api/2.0/mlflow/experiments/search?max_results=1")
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UsageError(
            f"No MLflow server answers at {masked(uri)}: {reason}. Start it, correct {_SETTING}, or unset {_SETTING} "
            "to record into a file."
        ) from error
    if status == 404 or status >= 500:
        raise UsageError(
            f"What answers at {masked(uri)} is no working MLflow server (status {status}). Correct {_SETTING}, or "
            "unset it to record into a file."
        )


def _status(url: str) -> int:
    split = urlsplit(url)
    # Credentials in a URL are for the API, which mlflow asks; urllib would take them for part of the host.
    plain = urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2]))
    context = ssl.create_default_context()
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(plain, timeout=ANSWER_SECONDS, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _check_file(path: Path) -> None:
    """The file, if there is one, is a database that takes writers, or else its folder can be made. Writes nothing."""
    path = path.absolute()
    place = next(place for place in (path, *path.parents) if place.exists())
    try:
        if place != path and not place.is_dir():
            raise NotADirectoryError(None, f"{place} is no folder")
        if not os.access(place, os.W_OK):
            raise PermissionError(None, f"no permission to write {place}")
        if place == path:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=ANSWER_SECONDS)) as database:
                database.execute("PRAGMA schema_version")
    except OSError as error:
        raise UsageError(
            f"{path}: records cannot be written there: {error.strerror}. Choose a results folder that you may write, "
            f"or set {_SETTING}."
        ) from error
    except sqlite3.Error as error:
        raise UsageError(f"{path}: is no usable tracking file: {error}. Move it away, or set {_SETTING}.") from error


def _check_port(uri: str) -> None:
    """Of a database server only that something listens; its driver and password are mlflow's business."""
    split = urlsplit(uri)
    if not split.hostname or not split.port:
        return
    try:
        socket.create_connection((split.hostname, split.port), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise UsageError(
            f"Nothing answers at {masked(uri)}: {error}. Start it, correct {_SETTING}, or unset {_SETTING} to record "
            "into a file."
        ) from error
