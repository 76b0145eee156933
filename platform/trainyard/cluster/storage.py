"""Whether all machines of a cluster see what they share: the results folder, and the data set."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.client import ray as client
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainyard.data.location import Location
from trainyard.errors import DataError, UsageError

ANSWER_SECONDS = 60.0
"""A machine that has not answered by then (it may have died) is not judged."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A folder that the driver sees, and a file in it with its SHA-256, by which it is recognised.

    what: it is, for people. writable: whether machines write there. way_out: a sentence.
    """

    what: str
    folder: Location
    file: str
    digest: str
    writable: bool
    way_out: str

    @classmethod
    def results(cls, place: Location) -> "Shared":
        """The folder of a sweep, by its job."""
        way_out = "Mount the same storage there, or name another place with --results, such as s3://BUCKET/PATH."
        return cls._of("results", place, "job.yaml", writable=True, way_out=way_out)

    @classmethod
    def data_set(cls, place: Location) -> "Shared":
        """A data set, by its manifest."""
        way_out = "Put the same data set there, or on storage that all machines share, and name it with data.path."
        return cls._of("data set", place, "manifest.json", writable=False, way_out=way_out)

    @classmethod
    def _of(cls, what: str, folder: Location, file: str, **more: Any) -> "Shared":
        return cls(what=what, folder=folder, file=file, digest=_digest(folder / file), **more)

    def trouble(self) -> str:
        """Why this machine does not see it, in a few words; empty where it does."""
        try:
            if _digest(self.folder / self.file) != self.digest:
                return "another one is there"
            if self.writable:
                probe = self.folder / f".probe-{secrets.token_hex(8)}"
                probe.write_bytes(b"")
                probe.delete()
        except OSError as error:
            return (error.strerror or str(error)).lower()
        except DataError as error:
            return str(error).rstrip(".")
        return ""


def _digest(file: Location) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def require_shared(places: Sequence[Shared]) -> None:
    """UsageError naming the machines of the connected cluster that train and do not see these places.

    Nothing is asked of a cluster that is this machine alone: its driver has seen them. Costs the start of a process on
    each machine, all at a time.
    """
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"] and _trains(node)}
    # By ray:// the driver is on none of them.
    seen = set() if client.is_connected() else {ray.get_runtime_context().get_node_id()}
    if set(nodes) <= seen:
        return
    answers = blind(places, nodes)
    problems = [_problem(shared, [(nodes[node], why) for node, why in answers[shared.what]]) for shared in places]
    if any(problems):
        raise UsageError("\n".join(filter(None, [*problems, "Nothing was started."])))


def blind(places: Sequence[Shared], nodes: Iterable[str]) -> Mapping[str, list[tuple[str, str]]]:
    """By what it is about: the ids of those of these nodes that do not see it, each with the reason."""
    tasks = {_ask(node).remote(list(places)): node for node in nodes}
    found: dict[str, list[tuple[str, str]]] = {shared.what: [] for shared in places}
    done, late = ray.wait(list(tasks), num_returns=len(tasks), timeout=ANSWER_SECONDS) if tasks else ([], [])
    for task in late:
        ray.cancel(task, force=True)
    for task in done:
        for shared, trouble in zip(places, _answer(task, len(places)), strict=True):
            if trouble:
                found[shared.what].append((tasks[task], trouble))
    return found


def _trains(node: Mapping[str, Any]) -> bool:
    return any(node["Resources"].get(kind, 0) > 0 for kind in ("CPU", "GPU"))


def _ask(node: str) -> Any:
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(_troubles)


def _troubles(places: Sequence[Shared]) -> list[str]:
    return [shared.trouble() for shared in places]


def _answer(task: Any, count: int) -> list[str]:
    try:
        answer: list[str] = ray.get(task)
    except ray.exceptions.RayTaskError as error:  # trainyard itself is missing there, or another version of it
        return [f"{type(error.cause).__name__}: {error.cause}", *[""] * (count - 1)]
    except ray.exceptions.RayError:  # the machine died: nobody will train there
        return [""] * count
    return answer


def _problem(shared: Shared, blind_nodes: Sequence[tuple[str, str]]) -> str:
    """An empty text where there is none."""
    if not blind_nodes:
        return ""
    count = len(blind_nodes)
    machines = "a machine of the cluster does" if count == 1 else f"{count} machines of the cluster do"
    told = "\n".join(f"  {address}: {why}" for address, why in sorted(blind_nodes))
    return f"{shared.folder}: {machines} not see the {shared.what}:\n{told}\n{shared.way_out}"
