"""Features extracted once as Ray tasks, and shared by all trials of a sweep through the object store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from trainyard.data.columns import Columns
from trainyard.data.dataset import Dataset, RowGroup
from trainyard.data.manifest import Manifest
from trainyard.data.stream import plain_errors
from trainyard.spec.job import Job
from trainyard.spec.training import Resources
from trainyard.training.svm.features import FeatureData, FeatureReader
from trainyard.training.svm.split import FeatureSplit


@dataclass(frozen=True, kw_only=True)
class SharedFeatures:
    """A job's splits as features, by reference. Small: it travels to the slots, which `read` it there."""

    manifest: Manifest
    train: "tuple[ray.ObjectRef[Columns], ...]"
    evaluate: "tuple[ray.ObjectRef[Columns], ...]"
    weights: str

    def read(self) -> FeatureData:
        """The features are views of the node's shared memory."""
        train, evaluate = (FeatureSplit(ray.get(list(chunks))) for chunks in (self.train, self.evaluate))
        return FeatureData(manifest=self.manifest, train=train, evaluate=evaluate, weights=self.weights)


def share_features(job: Job, dataset: Dataset) -> SharedFeatures:
    """Extract the features of a job's splits, but for what is on this machine's disk, and wait until all are there.

    Nothing else of the sweep has started yet, so the tasks ask for the CPUs and GPUs of a worker as any others do. The
    disk of this machine keeps what they extract, wherever they run. DataError and TrialError as FeatureReader.
    """
    names = dict.fromkeys((job.data.train_split, job.data.evaluate_split))
    readers = {split: FeatureReader.of(job, dataset, split) for split in names}
    chunks: dict[str, list[Any]] = {}
    missing: list[tuple[FeatureReader, list[RowGroup], Any]] = []
    for split, reader in readers.items():
        dataset.check_content(split)
        chunks[split] = []
        shipped = None
        for groups in reader.chunks():
            stored = reader.stored(groups)
            if stored is None:
                shipped = shipped or ray.put(reader)
                reference = _task(job).remote(shipped, groups, job.resources)
                missing.append((reader, groups, reference))
            else:
                reference = ray.put(stored)
            chunks[split].append(reference)
    _keep(missing)
    return SharedFeatures(
        manifest=dataset.manifest,
        train=tuple(chunks[job.data.train_split]),
        evaluate=tuple(chunks[job.data.evaluate_split]),
        weights=readers[job.data.train_split].weights,
    )


def _task(job: Job) -> Any:
    resources = job.resources
    return ray.remote(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker)(_extract)


def _extract(reader: FeatureReader, groups: Sequence[RowGroup], resources: Resources) -> Columns:
    import torch

    torch.set_num_threads(resources.cpus_per_worker)
    return reader.extract(groups, "cuda" if resources.gpus_per_worker else "cpu")


def _keep(extracted: Sequence[tuple[FeatureReader, list[RowGroup], Any]]) -> None:
    """Wait for the tasks, and put what they extract on the disk. After an error the others are given up."""
    by_task = {reference: (reader, groups) for reader, groups, reference in extracted}
    try:
        while by_task:
            ready, _ = ray.wait(list(by_task), num_returns=1, fetch_local=True)
            for reference in ready:
                reader, groups = by_task.pop(reference)
                with plain_errors():
                    reader.keep(groups, ray.get(reference))
    finally:
        for reference in by_task:
            ray.cancel(reference, force=True)
