"""One worker in an actor of its own, where a cluster has room for it: a single training that is no crew.

A crew of one would do as well, but Ray Train puts a controller and a placement group in front of it, and seconds.
"""

import contextlib
import re
from pathlib import Path
from typing import Any

import ray

from trainyard.cluster.liveness import gone_or_going, leaving_nodes
from trainyard.cluster.nodes import died_with_its_node
from trainyard.data.cache import SharedData
from trainyard.data.location import Location
from trainyard.spec.job import Job
from trainyard.sweep.extraction import SharedExtraction
from trainyard.sweep.slots.assignment import Drawn, EpochDone, Started
from trainyard.sweep.slots.workers import CrewLost


class HostedWorker:
    """The driver's end of it. When its process or its node dies, another is placed, and CrewLost says so.

    One that can't start (a package is missing) ends the run, which can be resumed: another would fare no better.
    """

    def __init__(self, job: Job, directory: Path | None, data: SharedData | SharedExtraction) -> None:
        self._job = job
        self._orders = job, directory, data
        self._host: Any = None
        self._node = ""

    @property
    def cramped(self) -> bool:
        """Whether its node is about to leave the cluster."""
        return self._host is not None and self._node in leaving_nodes()

    def leave(self) -> None:
        self.close()

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
        started: Started = self._call("start", values, state)
        return started

    def epoch(self) -> EpochDone:
        done: EpochDone = self._call("epoch")
        return done

    def state(self) -> bytes:
        return bytes(self._call("state"))

    def save(self, place: Location) -> None:
        self._call("save", place)

    def draw(self, folder: Location) -> Drawn:
        drawn: Drawn = self._call("draw", folder)
        return drawn

    def stop(self) -> None:
        if self._host is not None:
            self._call("stop")

    def close(self) -> None:
        """End the process, and give its place back."""
        host, self._host = self._host, None
        if host is not None:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(host)

    def _call(self, verb: str, *arguments: Any) -> Any:
        try:
            if self._host is None:
                self._place()
            return ray.get(self._host.call.remote(verb, *arguments))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayActorError as error:
            self._host = None
            if error.actor_init_failed:
                reason = f"its process could not start: {_last_error(str(error)).rstrip('.')}. Mend that; then resume."
                raise CrewLost(reason, final=True) from None
            first, *_ = str(error).strip().splitlines()
            with_node = gone_or_going({self._node}) if self._node else died_with_its_node(str(error.actor_id))
            raise CrewLost(f"its process died: {first}", counts=not with_node) from None

    def _place(self) -> None:
        """Wait until there is room, for as long as it takes: the cluster was found to be large enough."""
        resources = self._job.resources
        self._node = ""
        host = ray.remote(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker)(_Host)
        self._host = host.remote(*self._orders)
        self._node = ray.get(self._host.node.remote())


def _last_error(text: str) -> str:
    """The line of a traceback, or of several in a row, that says what was raised: `ModuleNotFoundError: ...`."""
    lines: list[str] = re.findall(r"^[\w.]*(?:Error|Exception)\b.*", text, re.MULTILINE)
    return lines[-1] if lines else text.strip().splitlines()[-1]


class _Host:
    """The actor: a worker such as a slot with one worker has, and its answers to `HostedWorker`."""

    def __init__(self, job: Job, directory: Path | None, data: SharedData | SharedExtraction) -> None:
        # Imported here: the driver needs none of it.
        from trainyard.sweep.slots.worker import lone_worker

        self._workers = lone_worker(job, data.read, directory=directory, gpus=job.resources.gpus_per_worker)

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())

    def call(self, verb: str, *arguments: Any) -> Any:
        return getattr(self._workers, verb)(*arguments)
