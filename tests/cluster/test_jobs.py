"""Following a log over connections that break, and finding a dashboard; no cluster needed."""

import asyncio
import http.server
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from ray.dashboard.modules.job.pydantic_models import JobDetails

from trainyard.cluster import log
from trainyard.cluster.jobs import Jobs
from trainyard.cluster.log import Disconnected, LogReader
from trainyard.errors import UsageError

LOG = ["first\n", "second\nthird\n", "and ", "the end\n"]


async def connection(texts: Sequence[str], *, breaks: bool = False, hangs: bool = False) -> AsyncIterator[str]:
    for text in texts:
        yield text
    if breaks:
        raise ConnectionError("reset by peer")
    if hangs:
        await asyncio.Event().wait()


def test_a_log_is_shown_as_it_comes() -> None:
    shown: list[str] = []

    assert asyncio.run(LogReader(shown.append).read(connection(LOG)))
    assert shown == LOG


def test_what_was_shown_before_a_connection_broke_is_not_shown_again() -> None:
    shown: list[str] = []
    reader = LogReader(shown.append)

    async def read() -> None:
        with pytest.raises(Disconnected):
            await reader.read(connection(LOG[:3], breaks=True))
        # The next connection cuts the same text into other pieces.
        await reader.read(connection(["fir", "st\nsecond\nthird\nand the", " end\n"]))

    asyncio.run(read())

    assert "".join(shown) == "".join(LOG)


def test_a_pipe_that_breaks_is_no_lost_connection() -> None:
    def show(text: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        asyncio.run(LogReader(show).read(connection(LOG)))


def test_a_connection_on_which_nothing_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SILENCE_SECONDS", 0.05)
    shown: list[str] = []
    reader = LogReader(shown.append)

    assert not asyncio.run(asyncio.wait_for(reader.read(connection(LOG[:2], hangs=True)), 5))
    assert asyncio.run(reader.read(connection(LOG)))
    assert "".join(shown) == "".join(LOG)


class Silent:
    """Ray's client of a dashboard that falls silent when it is asked for the job again, as Ctrl-C comes then."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._asked = False

    def get_job_info(self, id: str) -> JobDetails:
        if self._asked:
            os.kill(os.getpid(), signal.SIGINT)
            self.over.wait(30)
        self._asked = True
        return JobDetails(type="SUBMISSION", submission_id=id, status="RUNNING", entrypoint="python")

    async def tail_job_logs(self, id: str) -> AsyncIterator[str]:
        yield "first\n"


def test_ctrl_c_is_heard_while_a_dashboard_is_silent() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    client, shown = Silent(), []
    begun = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        Jobs(client, "http://head:8265", usual=True).follow("once", shown.append)

    assert time.monotonic() - begun < 20
    assert shown == ["first\n"]
    client.over.set()


@pytest.fixture
def another_server() -> Iterator[str]:
    """A web server that is no dashboard."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Nothing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class _Nothing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *arguments: object) -> None:
        return None


def test_what_is_no_dashboard_is_told(another_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=rf"^{another_server}: .*404"):
        Jobs.at(another_server)


@pytest.mark.parametrize("address", ["auto", "ray://head:10001", "head:6379", "ftp://head:8265", "http://:8265"])
def test_the_address_of_another_part_of_the_cluster_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"^--address must be that of the cluster's dashboard, such as http://head"):
        Jobs.at(address)


def test_nobody_there_is_told_at_once_and_without_a_password() -> None:
    with pytest.raises(UsageError, match=r"^No Ray dashboard answers at http://\*\*\*@127.0.0.1:1: connection refused"):
        Jobs.at("http://me:hunter2@127.0.0.1:1")


def test_an_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    with pytest.raises(
        UsageError, match=r"^--address is missing: the dashboard of a cluster, such as http://head:8265"
    ):
        Jobs.at(None)


@pytest.mark.parametrize("headers", ["{", "[1]", '"a"'])
def test_headers_for_a_proxy_must_be_an_object(
    headers: str, another_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_HEADERS", headers)
    with pytest.raises(UsageError, match=r"^RAY_JOB_HEADERS must be a JSON object"):
        Jobs.at(another_server)
