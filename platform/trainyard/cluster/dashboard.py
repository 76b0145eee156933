"""A connection to the dashboard of a Ray cluster: its address, its token, and what its client raises, for users."""

import contextlib
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from trainyard.cluster.variables import variable
from trainyard.errors import UsageError

ADDRESS_SETTING = "RAY_API_SERVER_ADDRESS"
"""Ray's own variable for the address of a dashboard."""

ANSWER_SECONDS = 5.0
"""To take a connection."""
REPLY_SECONDS = 300.0
"""To answer: the head may be unpacking, or looking for a node that runs the entry point."""


def url_of(address: str) -> str:
    """The address with a scheme; UsageError for those at which other parts of a cluster listen."""
    url = (address if "://" in address else f"http://{address}").rstrip("/")
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError as error:
        raise UsageError(f"--address must be such as http://head:8265 ({error}).") from error
    if split.scheme not in ("http", "https") or not host or address == "auto" or port in (6379, 10001):
        got = without_password(address)
        raise UsageError(f"--address must be that of the cluster's dashboard, such as http://head:8265, got {got}.")
    return url


def require_listener(url: str) -> None:
    """UsageError if nothing listens there: Ray's client would wait for minutes."""
    split = urlsplit(url)
    place = (split.hostname or "", split.port or (443 if split.scheme == "https" else 80))
    try:
        socket.create_connection(place, timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise UsageError(_nobody(url, (error.strerror or str(error)).lower())) from error


def _nobody(url: str, reason: str) -> str:
    return (
        f"No Ray dashboard answers at {without_password(url)}: {reason}. It listens on the head's own port 8265; from "
        "elsewhere by a tunnel: ray dashboard cluster.yaml, or ssh -L 8265:localhost:8265 HEAD."
    )


def without_password(url: str) -> str:
    split = urlsplit(url)
    return url.replace(f"{split.netloc.rpartition('@')[0]}@", "***@") if "@" in split.netloc else url


def connect(url: str) -> Any:
    """Ray's client. A token of the user's is shown where the cluster asks for one, also with RAY_AUTH_MODE unset."""
    from ray.dashboard.modules.job.sdk import JobSubmissionClient
    from ray.exceptions import AuthenticationError

    class Client(JobSubmissionClient):
        """Ray's waits forever."""

        def _do_request(self, method: str, endpoint: str, **rest: Any) -> Any:
            return super()._do_request(method, endpoint, timeout=(ANSWER_SECONDS, REPLY_SECONDS), **rest)

    # They tell every upload.
    for module in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env.packaging"):
        logging.getLogger(f"ray.{module}").setLevel(logging.WARNING)
    # Ray's client prefers what this variable and RAY_ADDRESS say to what it is told.
    with variable(ADDRESS_SETTING, url):
        try:
            return Client(url, headers=_headers())
        except AuthenticationError:
            token = _token()
            if not token:
                raise
            return Client(url, headers={**_headers(), **token})


def _headers() -> dict[str, str]:
    """For proxies before a cluster, as Ray's own commands take them."""
    text = os.environ.get("RAY_JOB_HEADERS", "").strip() or "{}"
    try:
        headers = json.loads(text)
    except ValueError:
        headers = None
    if not isinstance(headers, dict):
        raise UsageError('RAY_JOB_HEADERS must be a JSON object, such as {"X-Team": "vision"}.')
    return {str(name): str(value) for name, value in headers.items()}


def _token() -> Mapping[str, str]:
    """The header with the token of RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token; empty if there is none."""
    from ray._private.authentication.authentication_token_setup import AuthenticationTokenLoader

    loader = AuthenticationTokenLoader.instance()
    if not loader.has_token(ignore_auth_mode=True):
        return {}
    return dict(loader.get_token_for_http_header(ignore_auth_mode=True))


@contextlib.contextmanager
def answers(url: str) -> Iterator[None]:
    """What Ray's client raises, as a UsageError."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        raise UsageError(
            f"{without_password(url)}: the cluster wants a token ({first_line(error)}). Put its token into "
            "~/.ray/auth_token, or into RAY_AUTH_TOKEN."
        ) from error
    except (requests.exceptions.RequestException, ConnectionError) as error:
        raise UsageError(_nobody(url, first_line(error))) from error
    except RuntimeError as error:
        raise UsageError(f"{without_password(url)}: {_reason(error)}") from error


def first_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _reason(error: RuntimeError) -> str:
    """Ray answers with its traceback: the last line says it."""
    lines = [line for line in str(error).strip().splitlines() if line.strip() not in ("", ".")]
    return f"{lines[-1].strip().rstrip('.')}." if lines else type(error).__name__
