"""What trials are trained on in the place of images: extracted once as Ray tasks, shared through the object store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from trainyard.data.columns import Columns
from trainyard.data.dataset import Dataset
from trainyard.data.stream import plain_errors
from trainyard.spec.job import Job
from trainyard.spec.training import Resources
from trainyard.training.extraction.here import trial_data
from trainyard.training.extraction.reader import ExtractionReader, Part, readers_of
from trainyard.training.process import prepare_process

if TYPE_CHECKING:
    from trainyard.training.kinds import AnyData


@dataclass(frozen=True, kw_only=True)
class SharedExtraction:
    """A job's splits as what was extracted from them, by reference. Small: it travels to slots and workers, which
    `read` it there. weights: the extractor's."""

    job: Job
    dataset: Dataset
    train: "tuple[ray.ObjectRef[Columns], ...]"
    evaluate: "tuple[ray.ObjectRef[Columns], ...]"
    weights: str

    def read(self) -> "AnyData":
        """The columns are views of the node's shared memory. StorageError where Ray has lost them."""
        with plain_errors():
            train, evaluate = (ray.get(list(parts)) for parts in (self.train, self.evaluate))
        return trial_data(self.job, self.dataset, train, evaluate, weights=self.weights)


def share_extracted(job: Job, dataset: Dataset) -> SharedExtraction:
    """Extract what a job's trials are trained on, but for what is on this machine's disk, and wait until all is there.

    Nothing else of the sweep has started yet, so the tasks ask for the CPUs and GPUs of a worker as any others do. The
    disk of this machine keeps what they extract, wherever they run, and so does its object store: were it extracted
    again when a machine dies, who waits for it would hold the GPUs that it takes. Raises what
    ExtractionReader does.
    """
    train, evaluate = readers_of(job, dataset)
    readers = [train] if evaluate == train else [train, evaluate]
    shared: list[tuple[Any, ...]] = []
    missing: list[tuple[ExtractionReader, Part, Any]] = []
    for reader in readers:
        references = []
        shipped = None
        for part in reader.parts():
            stored = reader.stored(part)
            if stored is None:
                shipped = shipped or ray.put(reader)
                reference = _task(job).remote(shipped, part, job.resources)
                missing.append((reader, part, reference))
            else:
                reference = ray.put(stored)
            references.append(reference)
        shared.append(tuple(references))
    kept = _keep(missing)
    parts = [tuple(kept.get(reference, reference) for reference in references) for references in shared]
    return SharedExtraction(
        job=job, dataset=dataset, train=parts[0], evaluate=parts[-1], weights=evaluate.extractor.weights
    )


def _task(job: Job) -> Any:
    resources = job.resources
    return ray.remote(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker)(_extract)


def _extract(reader: ExtractionReader, part: Part, resources: Resources) -> Columns:
    prepare_process(resources.cpus_per_worker)
    return reader.extract(part, "cuda" if resources.gpus_per_worker else "cpu")


def _keep(extracted: Sequence[tuple[ExtractionReader, Part, Any]]) -> Mapping[Any, Any]:
    """Wait for the tasks, and put what they extract on the disk and into this machine's store.

    Returns the references to it there, by those of the tasks. After an error the other tasks are given up.
    """
    by_task = {reference: (reader, part) for reader, part, reference in extracted}
    kept = {}
    try:
        while by_task:
            ready, _ = ray.wait(list(by_task), num_returns=1, fetch_local=True)
            for reference in ready:
                reader, part = by_task.pop(reference)
                with plain_errors():
                    columns = ray.get(reference)
                reader.keep(part, columns)
                kept[reference] = ray.put(columns)
    finally:
        for reference in by_task:
            ray.cancel(reference, force=True)
    return kept
