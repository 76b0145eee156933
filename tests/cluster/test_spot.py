"""The notice of a spot machine, from AWS's metadata to Ray."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from trainyard.cluster.spot import Metadata, Notice, await_notice, in_time, main, read_notice
from trainyard.errors import RunError, UsageError

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Service(ThreadingHTTPServer):
    """What answers at 169.254.169.254: by its second version, tokens included."""

    def __init__(self) -> None:
        self.notice: str | None = None
        self.failures = 0
        super().__init__(("127.0.0.1", 0), _Answers)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Service

    def do_PUT(self) -> None:
        self._answer(200 if "X-aws-ec2-metadata-token-ttl-seconds" in self.headers else 400, "a-token")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
            self._answer(401)
        elif self.server.failures:
            self.server.failures -= 1
            self._answer(500)
        elif self.path != "/latest/meta-data/spot/instance-action" or self.server.notice is None:
            self._answer(404)
        else:
            self._answer(200, self.server.notice)

    def _answer(self, code: int, text: str = "") -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with Service() as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.endpoint)
        yield service
        service.shutdown()


def told(at: datetime = NOON) -> str:
    return json.dumps({"action": "terminate", "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")})


def test_a_notice_says_what_happens_and_when() -> None:
    notice = read_notice(told())
    assert notice.action == "terminate"
    assert notice.seconds_left(NOON - timedelta(seconds=110)) == 110
    assert notice.seconds_left(NOON + timedelta(seconds=5)) == 0


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"action": "stop", "time": "soon"}', "<html>"])
def test_what_is_no_notice_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_notice(answer)


def test_a_machine_that_stays_has_no_notice(service: Service) -> None:
    assert Metadata().notice() is None


def test_the_notice_is_heard_when_it_comes_and_whatever_failed_before(service: Service) -> None:
    service.failures, service.notice = 3, told()
    assert await_notice(Metadata(), poll_seconds=0.01).at == NOON


def test_ray_is_told_again_until_it_has_heard() -> None:
    """The one failure that counts is the last: two minutes are many tries."""
    from ray.exceptions import GetTimeoutError, RpcError

    failures = [
        RpcError("unavailable"),
        GetTimeoutError("slow"),
        UsageError("not there"),
        RunError("no"),
        OSError("cut off"),
    ]
    notice = Notice(action="terminate", at=datetime.now(UTC) + timedelta(seconds=60))

    def drain() -> list[str]:
        if failures:
            raise failures.pop()
        return ["a-node"]

    assert in_time(drain, notice, again_seconds=0.01) == ["a-node"]
    assert not failures


def test_a_ray_that_never_hears_is_told_of_when_the_machine_goes() -> None:
    notice = Notice(action="terminate", at=datetime.now(UTC) + timedelta(seconds=0.3))
    tries = []

    def drain() -> list[str]:
        tries.append(datetime.now(UTC))
        raise RunError("Ray does not let node a-node go: it is busy")

    with pytest.raises(RunError, match="a-node"):
        in_time(drain, notice, again_seconds=0.02)
    assert len(tries) > 2
    assert tries[-1] < notice.at + timedelta(seconds=1)


@pytest.mark.slow
@pytest.mark.own_cluster
def test_the_nodes_of_a_machine_drain_when_it_is_taken_away(service: Service) -> None:
    import ray
    from ray._private.state import state
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        leaving = datetime.now(UTC) + timedelta(seconds=120)
        service.notice = told(leaving)
        (node,) = ray.nodes()

        @ray.remote(num_cpus=1)
        class Busy:
            def ready(self) -> bool:
                return True

        busy = Busy.remote()  # a node that does nothing leaves at once
        assert ray.get(busy.ready.remote())
        assert main(["--address", cluster.address, "--node-ip", node["NodeManagerAddress"]]) == 0
        end = time.monotonic() + 20
        while not (draining := state.get_draining_nodes()):
            assert time.monotonic() < end, "Ray does not know that the node leaves"
            time.sleep(0.1)
        assert list(draining) == [node["NodeID"]]
        assert draining[node["NodeID"]] == pytest.approx(1000 * leaving.timestamp(), abs=1000)
    finally:
        ray.shutdown()
        cluster.shutdown()
