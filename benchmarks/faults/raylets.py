"""Several raylets on one machine, in a process of their own, which does what it is told line by line.

The head has no CPUs; a driver on this machine connects to it. Other raylets can be added and killed. Nothing is written
where a `ray.init()` elsewhere on the machine would look for a cluster.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psutil

STORE_BYTES = 120 * 2**20
HOST = "127.0.0.2"
"""On loopback; Ray takes 127.0.0.1 in an address for the machine's own one, on which nothing listens then."""


def ray_folder() -> tempfile.TemporaryDirectory[str]:
    """For what Ray writes, its sockets among it: their paths have 107 characters at most."""
    return tempfile.TemporaryDirectory(prefix="raylets-", dir="/tmp", ignore_cleanup_errors=True)


def shared_memory() -> tempfile.TemporaryDirectory[str]:
    """For the object stores."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    return tempfile.TemporaryDirectory(prefix="raylets-", dir=place, ignore_cleanup_errors=True)


class Raylets:
    """The caller's end. Nodes are known by the pid of their raylet."""

    def __init__(self, folder: Path, shared_memory: Path, *, nodes: int, cpus: int) -> None:
        """Start a head and so many nodes of so many CPUs.

        folder: for all that Ray writes; with a short path, as there are sockets in it. shared_memory: for the object
        stores. Raises RuntimeError with what was said last if they don't start.
        """
        self._log = folder / "raylets.log"
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--shared-memory", str(shared_memory), "--cpus", str(cpus)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("w"),
            text=True,
            env={**os.environ, "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0"},
            start_new_session=True,
        )
        head = self._ask("head")
        self.address, self.head = str(head["address"]), int(head["raylet"])
        self.nodes: list[int] = []
        for _ in range(nodes):
            self.add()

    @property
    def pid(self) -> int:
        """Of the process that is the parent of all nodes."""
        return self._process.pid

    def add(self) -> int:
        """Start a node, and wait until the cluster knows it."""
        self.nodes.append(int(self._ask("add")["raylet"]))
        return self.nodes[-1]

    def kill(self, raylet: int) -> None:
        """SIGKILL to a node's raylet and all of its processes, as when the machine's power goes."""
        self.nodes.remove(raylet)
        self._ask("kill", raylet=raylet)

    def notify(self, raylet: int, seconds: float) -> None:
        """Tell the cluster that a node will be taken away so soon, as a cloud does with a spot machine."""
        self._ask("notify", raylet=raylet, seconds=seconds)

    def held(self) -> dict[str, Any]:
        """What is held: `placement_groups` and `actors` that are not gone, `store_bytes` in use."""
        return self._ask("held")

    def close(self) -> None:
        """End all nodes."""
        try:
            self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ask(self, command: str, **details: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": command, **details}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            lines = self._log.read_text(errors="replace").splitlines()[-15:]
            raise RuntimeError("the raylets did not answer:\n" + "\n".join(lines))
        return dict(json.loads(answer))


class _Server:
    """The other end."""

    def __init__(self, shared_memory: Path, cpus: int) -> None:
        from ray.cluster_utils import Cluster

        self._shared = {
            "node_ip_address": HOST,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
            "plasma_directory": str(shared_memory),
        }
        self._cpus = cpus
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **self._shared})
        self._nodes: dict[int, Any] = {}

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "head":
                return {"address": self._cluster.address, "raylet": _pid(self._cluster.head_node)}
            case "add":
                node = self._cluster.add_node(num_cpus=self._cpus, **self._shared)
                self._nodes[_pid(node)] = node
                return {"raylet": _pid(node)}
            case "notify":
                return self._notify(command["raylet"], command["seconds"])
            case "kill":
                return self._kill(command["raylet"])
            case "held":
                return self._held()
        raise ValueError(f"unknown command {command['do']!r}")

    def _notify(self, raylet: int, seconds: float) -> dict[str, Any]:
        from ray._raylet import GcsClient
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason

        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline = round(1000 * (time.time() + seconds))
        client = GcsClient(address=self._cluster.address)
        accepted, why = client.drain_node(self._nodes[raylet].node_id, reason, "on purpose", deadline)
        return {} if accepted else {"refused": why}

    def _kill(self, raylet: int) -> dict[str, Any]:
        process = psutil.Process(raylet)
        for victim in [process, *process.children(recursive=True)]:
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
        self._cluster.remove_node(self._nodes.pop(raylet), allow_graceful=False)
        return {}

    def _held(self) -> dict[str, Any]:
        state = self._cluster.global_state
        groups = state.placement_group_table().values()
        actors = state.actor_table(None).values()
        free, total = state.available_resources_per_node(), state.total_resources_per_node()
        store = "object_store_memory"
        return {
            "placement_groups": [group["name"] or group["placement_group_id"] for group in groups if _there(group)],
            "actors": [actor["ActorClassName"] for actor in actors if actor["State"] != "DEAD"],
            "store_bytes": sum(total[node].get(store, 0.0) - free[node].get(store, 0.0) for node in total),
        }

    def close(self) -> None:
        self._cluster.shutdown()


def _pid(node: Any) -> int:
    """Of the raylet of a node."""
    return int(node.all_processes["raylet"][0].process.pid)


def _there(group: dict[str, Any]) -> bool:
    return str(group["state"]) != "REMOVED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared-memory", type=Path, required=True, help="for the object stores")
    parser.add_argument("--cpus", type=int, required=True, help="of each node but the head")
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever Ray prints goes to the log
    server = _Server(options.shared_memory, options.cpus)
    try:
        for line in sys.stdin:
            print(json.dumps(server.do(json.loads(line))), file=answers, flush=True)
    finally:
        server.close()


if __name__ == "__main__":
    main()
