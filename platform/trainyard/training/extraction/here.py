"""What was extracted, as trials are trained on it; and extracting it in this process."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainyard.data.columns import Columns
from trainyard.data.dataset import Dataset
from trainyard.spec.job import Job
from trainyard.training.extraction.reader import ExtractionReader, Part, readers_of

if TYPE_CHECKING:
    from trainyard.data.split import MemorySplit
    from trainyard.training.kinds import AnyData
    from trainyard.training.svm.split import FeatureSplit


def read_extracted_here(job: Job, dataset: Dataset, device: str) -> "AnyData":
    """A job's splits as what is extracted from them, read from the disk cache or extracted by this process.

    Errors as ExtractionReader.
    """
    train, evaluate = readers_of(job, dataset)
    parts = [_read(train, part, device) for part in train.parts()]
    others = parts if evaluate == train else [_read(evaluate, part, device) for part in evaluate.parts()]
    return trial_data(job, dataset, parts, others, weights=evaluate.extractor.weights)


def read_evaluated_here(job: Job, dataset: Dataset, device: str) -> "MemorySplit | FeatureSplit":
    """The same of the split to evaluate on alone."""
    _, reader = readers_of(job, dataset)
    parts = [_read(reader, part, device) for part in reader.parts()]
    if job.model.fitted:
        from trainyard.training.svm.split import FeatureSplit

        return FeatureSplit(parts)
    from trainyard.training.extraction.embeddings import embedded_split

    return embedded_split(dataset, job.data.evaluate_split, parts, copies=0)


def trial_data(
    job: Job, dataset: Dataset, train: Sequence[Columns], evaluate: Sequence[Columns], *, weights: str
) -> "AnyData":
    """What the job's kind of trial takes, from the parts of its splits. weights: the extractor's."""
    if job.model.fitted:
        from trainyard.training.svm.features import FeatureData
        from trainyard.training.svm.split import FeatureSplit

        splits = FeatureSplit(train), FeatureSplit(evaluate)
        return FeatureData(manifest=dataset.manifest, train=splits[0], evaluate=splits[1], weights=weights)
    from trainyard.training.extraction.embeddings import embedded_data

    return embedded_data(job, dataset, train, evaluate)


def _read(reader: ExtractionReader, part: Part, device: str) -> Columns:
    columns = reader.stored(part)
    if columns is None:
        columns = reader.extract(part, device)
        reader.keep(part, columns)
    return columns
