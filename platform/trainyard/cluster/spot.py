"""Tells Ray that the cloud is about to take this machine away: `python -m trainyard.cluster.spot --address HOST:6379`.

AWS says so two minutes ahead, in the metadata that it serves to each machine; Ray's cluster launcher starts spot
machines and does not listen. (A node on Kubernetes hears of it by SIGTERM, which `ray start --block` passes on itself.)
Ray then counts the node as draining: nothing new is placed there, and what runs there has time to save its state and
move.
"""

import argparse
import json
import logging
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from trainyard.errors import RunError, TrainyardError, UsageError

POLL_SECONDS = 5.0
"""How often AWS asks to be asked."""

AGAIN_SECONDS = 1.0
"""After how long a Ray that couldn't be told is told again."""

_ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_ANSWER_SECONDS = 2.0
_TOKEN_SECONDS = 21600
_RAY_SECONDS = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What the cloud does with this machine (`terminate`, `stop`, `hibernate`), and when."""

    action: str
    at: datetime

    def seconds_left(self, now: datetime) -> float:
        """Until it does, 0 at the least."""
        return max(0.0, (self.at - now).total_seconds())


def read_notice(answer: str) -> Notice:
    """`{"action": "terminate", "time": "2026-01-31T12:00:00Z"}`; ValueError for anything else."""
    told = json.loads(answer)
    if not isinstance(told, dict) or not {"action", "time"} <= told.keys():
        raise ValueError(f"no notice of an interruption: {answer[:200]}")
    at = datetime.fromisoformat(str(told["time"]))
    return Notice(action=str(told["action"]), at=at if at.tzinfo else at.replace(tzinfo=UTC))


class Metadata:
    """The metadata service of a machine on AWS, by its second version, which asks for a token."""

    def __init__(self, endpoint: str | None = None) -> None:
        """endpoint: where AWS's own tools look for it, as AWS_EC2_METADATA_SERVICE_ENDPOINT says, if not given."""
        self._endpoint = (endpoint or os.environ.get(_ENDPOINT) or "http://169.254.169.254").rstrip("/")

    def notice(self) -> Notice | None:
        """The notice of an interruption, if there is one. OSError where nobody answers, as on a machine elsewhere."""
        token = self._ask("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)})
        try:
            answer = self._ask("meta-data/spot/instance-action", "GET", {"X-aws-ec2-metadata-token": token})
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return read_notice(answer)

    def _ask(self, path: str, method: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(f"{self._endpoint}/latest/{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
            return str(answer.read().decode())


def await_notice(metadata: Metadata, *, poll_seconds: float = POLL_SECONDS) -> Notice:
    """Return the notice when it has come. What goes wrong meanwhile is logged once, and asked again."""
    trouble = ""
    while True:
        try:
            notice = metadata.notice()
        except (OSError, ValueError) as error:  # URLError is an OSError
            if not trouble:
                _log.warning("The metadata of this machine can't be read (%s). Asking again.", error)
            trouble = str(error)
        else:
            trouble = ""
            if notice is not None:
                return notice
        time.sleep(poll_seconds)


def drain(address: str, node_ip: str, notice: Notice) -> list[str]:
    """Have Ray count the nodes on this machine as draining; their ids. May be called again.

    UsageError where there are none: the address is that of another cluster. RunError where Ray refuses, one of its own
    errors or OSError where it can't be reached.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    cluster = GcsClient(address=address)
    nodes = [
        node_id.hex()
        for node_id, node in cluster.get_all_node_info(timeout=_RAY_SECONDS).items()
        if node.state == GcsNodeInfo.ALIVE and node.node_manager_address == node_ip
    ]
    if not nodes:
        raise UsageError(f"--address {address}: the cluster there has no living node at {node_ip}.")
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline = round(1000 * notice.at.timestamp())
    refused = []
    for node in nodes:
        accepted, why_not = cluster.drain_node(node, reason, f"The cloud will {notice.action} this machine.", deadline)
        if not accepted:
            refused.append(f"Ray does not let node {node} go: {why_not}")
    if refused:
        raise RunError("\n".join(refused))
    return nodes


def in_time(drain: Callable[[], list[str]], notice: Notice, *, again_seconds: float = AGAIN_SECONDS) -> list[str]:
    """What `drain` answers, which is called until it does or the machine is about to go; then with its last error.

    A head that is busy or cut off for a moment must not cost the trials of this machine their state.
    """
    from ray.exceptions import RayError

    while True:
        try:
            return drain()
        except (OSError, RayError, TrainyardError) as error:
            if notice.seconds_left(datetime.now(UTC)) <= again_seconds:
                raise
            _log.warning("Ray isn't told yet that this machine goes (%s). Telling it again.", error)
        time.sleep(again_seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait for the notice, tell Ray, and end. 1: Ray could not be told before the machine goes."""
    parser = argparse.ArgumentParser(prog="python -m trainyard.cluster.spot")
    parser.add_argument("--address", required=True, help="Ray's head, HOST:6379.")
    parser.add_argument("--node-ip", help="This machine in the cluster, if not as Ray finds it.")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    notice = await_notice(Metadata())
    from ray.exceptions import RayError
    from ray.util import get_node_ip_address

    left = notice.seconds_left(datetime.now(UTC))
    _log.info("The cloud will %s this machine in %.0f s.", notice.action, left)
    node_ip = options.node_ip or get_node_ip_address()
    try:
        nodes = in_time(lambda: drain(options.address, node_ip, notice), notice)
    except (OSError, RayError, TrainyardError) as error:
        _log.error("Ray couldn't be told that this machine goes: %s", error)
        return 1
    _log.info("Ray drains %s.", ", ".join(nodes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
