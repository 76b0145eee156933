"""Splits decoded once and shared: every trial, slot and worker of a node reads one copy in Ray's object store."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainyard.data.chunks import ChunkReader
from trainyard.data.columns import Columns
from trainyard.data.dataset import Dataset, RowGroup
from trainyard.data.disk_cache import CacheSettings
from trainyard.data.loading import DataPlan
from trainyard.data.manifest import Manifest
from trainyard.data.sampling import row_classes
from trainyard.data.shapes import DecodeSettings
from trainyard.data.split import MemorySplit, Split, TrialData
from trainyard.data.stream import StreamedSplit, plain_errors
from trainyard.spec.prompts import Prompts
from trainyard.spec.training import DataSettings

RETRIES = 50
"""Of a task whose process or machine died. It counts each time that all copies of a chunk are lost with their machines,
over the whole of a sweep. Not without end: what kills its process each time is to be told, after a minute or two."""

MOST_STREAM_TASKS = 8
"""Windows that a stream decodes at a time. Where training is faster than decoding, each is in the store as a whole."""


@dataclass(frozen=True, kw_only=True)
class SharedSplit:
    """A split by reference. chunks: in the store, decoded or about to be; none: the split is streamed.

    sound: whether its content is what was imported; an error if not.
    """

    dataset: Dataset
    split: str
    settings: DecodeSettings
    sound: "ray.ObjectRef[None]"
    chunks: "tuple[ray.ObjectRef[Columns], ...]"
    stream_bytes: int
    stream_tasks: int

    def read(self) -> Split:
        """Waits until the split is decoded; its chunks are views of the node's shared memory."""
        with plain_errors():
            _, *chunks = ray.get([self.sound, *self.chunks])
        if chunks:
            classes, names = partial(row_classes, self.dataset, self.split), partial(self.dataset.names, self.split)
            return MemorySplit(chunks, classes, names)
        return StreamedSplit(
            self.dataset, self.split, self.settings, store_bytes=self.stream_bytes, tasks=self.stream_tasks
        )


@dataclass(frozen=True, kw_only=True)
class SharedData:
    """A job's splits by reference. Small: it travels to slots and workers, which `read` it there."""

    manifest: Manifest
    train: SharedSplit
    evaluate: SharedSplit

    def read(self) -> TrialData:
        """Waits until all is decoded. DataError for rows that aren't what was imported or can't be decoded."""
        train = self.train.read()
        evaluate = train if self.evaluate is self.train else self.evaluate.read()
        return TrialData(manifest=self.manifest, train=train, evaluate=evaluate)


def share(
    dataset: Dataset,
    data: DataSettings,
    plan: DataPlan,
    *,
    prompts: Prompts | None = None,
    cpus_per_worker: int = 1,
) -> SharedData:
    """Decode the cached splits as Ray tasks; returns at once. The references live as long as the caller keeps them.

    cpus_per_worker: so many processes decode a streamed split for a worker.
    """
    settings = DecodeSettings.of(data, dataset.manifest, prompts)
    here = ray.get_runtime_context().get_node_id()
    lanes = _Lanes(lane_nodes(ray.nodes(), here, os.cpu_count() or 1))
    kept = ray.put(dataset)
    shared: dict[str, SharedSplit] = {}
    for split in dict.fromkeys((data.train_split, data.evaluate_split)):
        sound = lanes.run(_check, kept, split)
        chunks: tuple[Any, ...] = ()
        if plan.of(split).loading == "cached":
            reader = ChunkReader(dataset, split, settings, CacheSettings.here())
            shipped = ray.put(reader)
            chunks = tuple(lanes.run(_read, shipped, groups, sound) for groups in reader.chunks())
        shared[split] = SharedSplit(
            dataset=dataset,
            split=split,
            settings=settings,
            sound=sound,
            chunks=chunks,
            stream_bytes=plan.stream_bytes,
            stream_tasks=min(cpus_per_worker, MOST_STREAM_TASKS),
        )
    return SharedData(manifest=dataset.manifest, train=shared[data.train_split], evaluate=shared[data.evaluate_split])


def _check(dataset: Dataset, split: str) -> None:
    dataset.check_content(split)


def _read(reader: ChunkReader, groups: Sequence[RowGroup], sound: None) -> Columns:
    return reader.read(groups)


def lane_nodes(nodes: Sequence[Mapping[str, Any]], here: str, cpus: int) -> list[str]:
    """The node of each task that decodes at a time: one for each CPU. nodes: as Ray lists them. here: the driver's own,
    of a machine with so many CPUs: all that there is where a cluster begins with a head that has none for trials."""
    alive = [node for node in nodes if node["Alive"]]
    places = [node["NodeID"] for node in alive for _ in range(int(node["Resources"].get("CPU", 0)))]
    return places or [here] * cpus


class _Lanes:
    """Runs tasks on all nodes, on each no more at a time than it has CPUs.

    The tasks themselves ask for no CPU: slots and crews may hold them all, and are waiting for this. So each waits for
    the one before it in its lane, of which a node has one for each CPU. After an error the rest of a lane isn't run.
    """

    def __init__(self, nodes: Sequence[str]) -> None:
        """nodes: the node of each lane."""
        self._lanes = cycle([_Lane(node) for node in nodes])

    def run(self, function: Any, *arguments: Any) -> Any:
        """The reference to what the function returns."""
        return next(self._lanes).run(function, *arguments)


class _Lane:
    def __init__(self, node: str) -> None:
        # Only preferred: when a node is lost, another decodes what was on it again.
        there = NodeAffinitySchedulingStrategy(node, soft=True)
        self._task = ray.remote(num_cpus=0, num_returns=2, max_retries=RETRIES, scheduling_strategy=there)(_after)
        self._last: Any = None

    def run(self, function: Any, *arguments: Any) -> Any:
        result, self._last = self._task.remote(self._last, function, *arguments)
        return result


def _after(before: None, function: Any, *arguments: Any) -> tuple[Any, None]:
    """The second result is small: it is what the next task waits for."""
    return function(*arguments), None
