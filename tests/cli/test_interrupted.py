"""Ctrl-C while a cluster is being asked for something: what is known then is said."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ..cluster.dashboard import dashboard
from .conftest import Answer

Cli = Callable[..., Answer]
SUBMIT = ("submit", "train", "jobs/digits_cnn.yaml", "data.path=/shared/digits", "--name", "once", "--follow")
FOLLOW = "Follow it:  trainyard logs once -f --address URL"
STOP = "Stop it:    trainyard stop once --address URL"


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)


@pytest.fixture(autouse=True)
def hears_ctrl_c() -> None:
    """Of whoever runs the tests in the background, Python takes no notice of it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(
    ("request_", "answered", "lines"),
    [
        ("GET /api/jobs/", 0, ["Interrupted.", "Nothing was submitted."]),
        ("POST /api/jobs/", 0, ["Interrupted.", "It is not known whether once was submitted.", FOLLOW, STOP]),
        ("GET /api/jobs/once", 0, ["once goes on.", FOLLOW, STOP]),
    ],
    ids=["before", "while it is sent", "before it is followed"],
)
def test_a_submission(cli: Cli, place: Path, request_: str, answered: int, lines: list[str]) -> None:
    with dashboard(request_, answered) as cluster:
        answer = cli(*SUBMIT, "--address", cluster.address)

    assert answer.code == 130
    assert answer.err.replace(cluster.address, "URL").splitlines() == ["", *lines]


@pytest.mark.parametrize(
    ("request_", "answered", "lines"),
    [
        ("GET /api/jobs/once", 0, ["once was not asked to stop."]),
        ("POST /api/jobs/once/stop", 0, ["It is not known whether once was asked to stop.", FOLLOW, STOP]),
        ("GET /api/jobs/once", 1, ["once is being stopped, and ends by itself.", FOLLOW]),
    ],
    ids=["before", "while it is asked", "while it ends"],
)
def test_a_stop(cli: Cli, request_: str, answered: int, lines: list[str]) -> None:
    with dashboard(request_, answered) as cluster:
        answer = cli("stop", "once", "--address", cluster.address)

    assert answer.code == 130
    assert answer.err.replace(cluster.address, "URL").splitlines()[-len(lines) - 1 :] == ["Interrupted.", *lines]
