"""How many trials of a job a cluster's nodes have places for. Pure functions of numbers."""

import math
from collections.abc import Mapping, Sequence

from trainyard.errors import InfeasibleError
from trainyard.spec.job import Job

Node = Mapping[str, float]
"""One node's resources, as Ray counts them: {"CPU": 16, "GPU": 1}; `object_store_memory` is what its store has free."""

NO_LIMIT = 2**62
"""Bytes of a store of which nothing is known."""


def gpus_of_trial(job: Job) -> float:
    """GPUs of each worker while it trains: of a model that is fitted at once, only the extraction has any."""
    return 0.0 if job.model.fitted else job.resources.gpus_per_worker


def require_room(job: Job, nodes: Sequence[Node]) -> None:
    """InfeasibleError where the nodes can't train even one trial of the job."""
    if not _fit_of(job, [places_on(job, node) for node in nodes]):
        raise InfeasibleError(_too_small(job, nodes))


def trials_at_a_time(job: Job, nodes: Sequence[Node]) -> int:
    """How many trials of the job the nodes can train at a time.

    Elastic crews are as few as fill the nodes, so that they have room to be large.
    """
    if job.model.fitted:
        return sum(_places(node, job.resources.cpus_per_worker, 0.0) for node in nodes)
    return _fit_of(job, [places_on(job, node) for node in nodes])


def _fit_of(job: Job, places: Sequence[int]) -> int:
    """places: of each node. Where a trial's workers are to be on one node, what is left over on several is no use."""
    least, most = job.resources.least_workers, job.resources.most_workers
    rooms = places if job.resources.placement == "one_node" else [sum(places)]
    return sum(min(math.ceil(room / most), room // least) for room in rooms)


def share_of_crew(job: Job, nodes: Sequence[Node], crews: int) -> int:
    """How many workers each of so many crews has where they share the nodes evenly, within what the job wants.

    Where a crew is to be on one node: those on the roomiest.
    """
    least, most = job.resources.least_workers, job.resources.most_workers
    places = [places_on(job, node) for node in nodes]
    rooms = places if job.resources.placement == "one_node" else [sum(places)]
    shares = [room // min(crews, math.ceil(room / most), room // least) for room in rooms if room >= least]
    return min(most, max(shares, default=least))


def places_for_workers(job: Job, nodes: Sequence[Node]) -> int:
    """How many workers of the job fit the nodes."""
    return sum(places_on(job, node) for node in nodes)


def training_nodes(job: Job, nodes: Sequence[Node]) -> list[Node]:
    """Those on which a worker may be."""
    return [node for node in nodes if places_on(job, node)]


def smallest_store(nodes: Sequence[Node]) -> int:
    """Free bytes of the object store that has the fewest; NO_LIMIT where nothing is known of any."""
    return int(min((node.get("object_store_memory", NO_LIMIT) for node in nodes), default=NO_LIMIT))


def places_on(job: Job, node: Node) -> int:
    """How many workers of the job fit a node."""
    return _places(node, job.resources.cpus_per_worker, job.resources.gpus_per_worker)


def _places(node: Node, cpus: float, gpus: float) -> int:
    by_cpu = node.get("CPU", 0.0) // cpus if cpus else math.inf
    by_gpu = _places_on_gpus(int(node.get("GPU", 0.0)), gpus) if gpus else math.inf
    return int(min(by_cpu, by_gpu))


def _places_on_gpus(count: int, gpus: float) -> int:
    """gpus: of each worker; below 1 it is a share of one GPU, which Ray never takes from two."""
    if gpus >= 1:
        return int(count // gpus)
    # Rounded first, since 1.0 // 0.1 is 9.
    return count * math.floor(round(1 / gpus, 6))


def _too_small(job: Job, nodes: Sequence[Node]) -> str:
    resources = job.resources
    places = places_for_workers(job, nodes)
    together = resources.placement == "one_node" and resources.crew
    largest_cpu = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    largest_gpu = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    rule = ", all on one node (resources.placement)," if together else " each,"
    return (
        f"{job.name} needs {resources.least_workers} worker{'s' if resources.least_workers > 1 else ''} with "
        f"{resources.cpus_per_worker} CPU and {resources.gpus_per_worker:g} GPU{' each' if together else ''}{rule} and "
        f"{places} such place{'s' if places != 1 else ''} fit{'s' if places == 1 else ''} the cluster "
        f"({len(nodes)} node{'s' if len(nodes) != 1 else ''}, the largest with {largest_cpu:g} CPU and "
        f"{largest_gpu:g} GPU). Lower resources.workers, cpus_per_worker or gpus_per_worker, or add nodes."
    )
