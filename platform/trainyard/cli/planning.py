"""What `plan` plans for, and how it says it."""

import os

from trainyard.cli.address import check_address
from trainyard.cli.machine import cpus_here, gpus_here
from trainyard.cli.printing import counted
from trainyard.data.loading import DataPlan, readable
from trainyard.data.manifest import Manifest
from trainyard.errors import UsageError
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.places import Node
from trainyard.sweep.plan import ExtractionPlan, Plan


def nodes_of(address: str | None, cpus: int | None, gpus: int | None) -> tuple[list[Node], str]:
    """The nodes to plan for, and what to call them: a cluster's, or this machine with other CPUs and GPUs if given."""
    imagined = cpus is not None or gpus is not None
    if address is not None and imagined:
        raise UsageError("--address names a cluster, --cpus and --gpus a machine that may not exist. Leave one out.")
    # A sweep, too, goes to the cluster that RAY_ADDRESS names.
    address = address or (None if imagined else os.environ.get("RAY_ADDRESS"))
    if address:
        from trainyard.cluster.session import connected

        check_address(address)
        with connected(address=address) as nodes:
            return list(nodes), f"the cluster at {address}"
    from trainyard.data.memory import local_object_store

    node = {
        "CPU": float(cpus or cpus_here()),
        "GPU": float(gpus_here() if gpus is None else gpus),
        "object_store_memory": float(local_object_store()),
    }
    return [node], "one machine" if imagined else "this machine"


def manifest_of(job: Job) -> Manifest | None:
    """Of the job's data set; None if there is none yet. DataError if there is one that is unsound or doesn't fit."""
    from trainyard.data.dataset import MANIFEST_FILE, Dataset
    from trainyard.data.location import Location
    from trainyard.tasks.fitting import require_fit

    if not (Location.of(job.data.path) / MANIFEST_FILE).exists():
        return None
    manifest = Dataset.open(job.data.path).manifest
    require_fit(job, manifest)
    return manifest


_PLACED = {"pack": "", "spread": ", spread over the nodes", "one_node": ", each on one node"}


def plan_lines(plan: Plan, job: Job, space: Space, where: str) -> list[str]:
    """The plan for people."""
    resources, scheduler = job.resources, space.search.scheduler.name
    each = counted(resources.cpus_per_worker, "CPU")
    if resources.gpus_per_worker:
        each += f" and {resources.gpus_per_worker:g} GPU"
    crews = "none, slots train alone"
    if plan.crews:
        crews = f"{plan.crews}, one for each slot, of {plan.workers_each} workers{_PLACED[resources.placement]}"
    rungs = f"after epochs {', '.join(map(str, plan.rungs))}" if plan.rungs else "none"
    return [
        f"{job.name} on {where}: {plan.cluster_cpus:g} CPUs, {plan.cluster_gpus:g} GPUs",
        f"  slots    {plan.slots}, with {each} for each worker; in all {plan.cpus:g} CPUs, {plan.gpus:g} GPUs",
        f"  crews    {crews}",
        f"  trials   {plan.trials}, proposed by {space.search.sampler.name}",
        f"  rungs    {rungs} (scheduler: {scheduler})",
        f"  epochs   {plan.epochs_per_trial} a trial, {plan.epochs} in all, {plan.expected_epochs} expected",
        f"  data     {data_words(plan) or f'{job.data.path} is not there yet'}",
    ]


def data_words(plan: Plan) -> str:
    """How what is trained on gets to the trials; empty where there is no data set yet."""
    if plan.extraction is not None:
        return extraction_words(plan.extraction)
    return loading_words(plan.data) if plan.data else ""


def extraction_words(plan: ExtractionPlan) -> str:
    """`features of vgg16 (average), extracted once and shared: train 780 rows, val 120 rows`."""
    sizes = {split: f" ({readable(nbytes)})" for split, nbytes in (plan.nbytes or {}).items()}
    splits = ", ".join(f"{split} {rows:,} rows{sizes.get(split, '')}" for split, rows in plan.rows.items())
    return f"{plan.what}, extracted once and shared: {splits}"


def loading_words(data: DataPlan) -> str:
    """How the splits get to the workers: `train cached (1,257 rows, 88 KiB), val cached (270 rows, 19 KiB)`."""
    words = ", ".join(
        f"{plan.split} {plan.loading} ({plan.rows:,} rows, {readable(plan.nbytes)})" for plan in data.splits
    )
    if data.auto_size is not None:
        words = f"images of {data.auto_size[0]}x{data.auto_size[1]} (auto); {words}"
    return f"{words}; a node has room for {readable(data.room)}" if data.streams else words
