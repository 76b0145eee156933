"""Several raylets on one machine, each a node of one cluster, that come, are told to go, and die."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.exceptions import RpcError
from ray.util import get_node_ip_address

from .head import PORTS, free_ports

HOST = "127.0.0.2"
"""On loopback. Ray takes 127.0.0.1 in an address for the machine's own, on which nothing listens then."""

STORE_BYTES = 100 * 2**20


class Machines:
    """A cluster whose first node has no CPUs. Nodes are known by their ids."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self._folder = folder
        self._shared = {"node_ip_address": HOST, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **self._shared})
        self._nodes: dict[str, Any] = {}

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self, cpus: int = 1) -> str:
        node = self._cluster.add_node(num_cpus=cpus, **self._shared)
        self._nodes[node.node_id] = node
        return str(node.node_id)

    def kill(self, node: str) -> None:
        """As when its power goes: Ray is told nothing."""
        self._cluster.remove_node(self._nodes.pop(node), allow_graceful=False)

    def drain(self, node: str, seconds: float = 60.0) -> None:
        """As when a cloud takes a spot machine away."""
        from ray._raylet import GcsClient
        from ray.core.generated import autoscaler_pb2

        reason = autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION
        deadline = int(1000 * (time.time() + seconds))
        accepted, why_not = GcsClient(address=self.address).drain_node(node, reason, "spot", deadline)
        assert accepted, why_not

    def alive(self, node: str) -> bool:
        return node in self._cluster.global_state._live_node_ids()

    def of_actors(self, name: str) -> list[str]:
        """The nodes of the living actors whose class has this in its name."""
        return of_actors(self._cluster.global_state, name)

    def counted_deaths(self) -> list[int]:
        """At each death of a slot, how many of its trial's slots had died so far by Ray Tune's count."""
        texts = [path.read_text() for path in self._folder.rglob("error.txt")]
        return [int(count) for text in texts for count in re.findall(r"^Failure # (\d+)", text, re.MULTILINE)]

    def close(self) -> None:
        self._cluster.shutdown()


def of_actors(state: Any, name: str) -> list[str]:
    """state: Ray's view of a cluster."""
    actors = state.actor_table(None, None, "ALIVE")
    return [actor["Address"]["NodeID"] for actor in actors.values() if name in actor["ActorClassName"]]


@contextmanager
def machines() -> Iterator[Machines]:
    # A short name: the paths of sockets have 107 characters at most.
    with (
        tempfile.TemporaryDirectory(prefix="ry", dir="/tmp", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Machines(Path(folder))
        try:
            yield cluster
        finally:
            cluster.close()


def wait(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    """Until it holds; AssertionError where it does not in that time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.1)


def without_ray() -> dict[str, str]:
    """The environment for a driver: nothing of another Ray, nor of another MLflow."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "RAY_"))}


COMMANDS = tuple(
    f"{kind}_commands"
    for kind in (
        *("initialization", "setup", "head_setup", "worker_setup"),
        *("head_start_ray", "worker_start_ray"),
    )
)


class Autoscaling:
    """A head without CPUs whose autoscaler starts nodes of one CPU, as processes on this machine."""

    def __init__(self, folder: Path, *, most: int) -> None:
        from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FakeMultiNodeProvider

        ports = free_ports(len(PORTS))
        self.address = f"{get_node_ip_address()}:{ports[0]}"
        self.file = folder / "cluster.yaml"
        self.file.write_text(
            json.dumps(
                {
                    "cluster_name": "fake",
                    "max_workers": most,
                    "upscaling_speed": 100.0,
                    "idle_timeout_minutes": 0.2,
                    # What Ray merges without looking whether it is there.
                    **{key: {} for key in ("auth", "docker", "file_mounts")},
                    **{key: [] for key in (*COMMANDS, "cluster_synced_files")},
                    "provider": {
                        "type": "external",
                        "module": f"{FakeMultiNodeProvider.__module__}.{FakeMultiNodeProvider.__name__}",
                        "head_node_id": FAKE_HEAD_NODE_ID,
                        "gcs_address": self.address,
                        "launch_multiple": True,
                        "disable_node_updaters": True,
                        "disable_launch_config_check": True,
                    },
                    "head_node_type": "ray.head.default",
                    "available_node_types": {
                        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                        "small": {
                            "resources": {"CPU": 1, "object_store_memory": STORE_BYTES},
                            "node_config": {},
                            "min_workers": 0,
                            "max_workers": most,
                        },
                    },
                }
            )
        )
        self.log = folder / "head.log"
        self._folder = folder
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "0"),
                *("--temp-dir", str(folder), "--object-store-memory", str(STORE_BYTES), "--disable-usage-stats"),
                *(f"--autoscaling-config={self.file}", "--include-dashboard", "false"),
                *(f"--{name}={port}" for name, port in zip(PORTS, ports, strict=True)),
            ],
            env={
                **without_ray(),
                "RAY_AUTH_MODE": "disabled",
                "RAY_FAKE_CLUSTER": "1",
                "RAY_enable_autoscaler_v2": "1",
                "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
                "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            },
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def nodes(self) -> list[str]:
        """The ids of the nodes that the autoscaler has started and not ended; none while the head is starting."""
        from ray._raylet import GcsClient
        from ray.core.generated.gcs_pb2 import GcsNodeInfo

        assert self._process.poll() is None, self.log.read_text()
        try:
            known = GcsClient(address=self.address).get_all_node_info(timeout=10)
        except RpcError:
            return []
        return [
            node_id.hex()
            for node_id, node in known.items()
            if node.state == GcsNodeInfo.ALIVE and not node.is_head_node
        ]

    def of_actors(self, name: str) -> list[str]:
        """The nodes of the living actors whose class has this in its name."""
        from ray._private.state import GlobalState
        from ray._raylet import GcsClientOptions

        state = GlobalState()
        state._initialize_global_state(
            GcsClientOptions.create(self.address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
        )
        return of_actors(state, name)

    def close(self) -> None:
        """End the head, and the nodes, which are nobody's children."""
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self._folder) in part for part in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()


@contextmanager
def autoscaling(*, most: int) -> Iterator[Autoscaling]:
    with tempfile.TemporaryDirectory(prefix="ry", dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = Autoscaling(Path(folder), most=most)
        try:
            yield cluster
        finally:
            cluster.close()
