"""What is extracted from images, and by which settings."""

from collections.abc import Sequence
from typing import Any, Protocol

from trainyard.data.columns import Columns
from trainyard.spec.job import Job
from trainyard.spec.models.promptable import Sam
from trainyard.spec.models.svm import Svm


class Extractor(Protocol):
    """Makes columns of decoded rows. It travels to whoever extracts, and needs torch only there.

    The same rows and the same `identity` give the same columns, on any machine.
    """

    @property
    def what(self) -> str:
        """For people: `features`."""
        ...

    @property
    def architecture(self) -> str:
        """Of the network that does it, for people."""
        ...

    @property
    def weights(self) -> str:
        """What tells its weights apart from any others."""
        ...

    @property
    def advice(self) -> str:
        """Where to look when what it makes is not finite."""
        ...

    @property
    def copies(self) -> int:
        """Rows that come after the own ones of a part, for each of them: augmented."""
        ...

    @property
    def part_rows(self) -> int | None:
        """Rows of a split that are extracted, kept on the disk and shared at a time; None: those of a chunk."""
        ...

    @property
    def identity(self) -> Sequence[Any]:
        """All that the columns follow from beside the decoded rows, as plain values."""
        ...

    def extract(self, decoded: Columns, first_row: int, device: str) -> Columns:
        """The columns of some rows, and then as many for each of the copies. first_row: of them in their split.

        TrialError if the network can't be built, or doesn't take such images.
        """
        ...


def extractors_of(job: Job) -> tuple[Extractor, Extractor]:
    """For the rows to train on, and for those to evaluate on. StorageError if the file of the weights can't be read."""
    # Whoever extracts may run in another folder.
    match job.model.located(job.working_directory):
        case Svm() as model:
            from trainyard.training.svm.features import FeatureExtractor

            extractor = FeatureExtractor.of(job, model)
            return extractor, extractor
        case Sam() as model:
            from trainyard.training.extraction.embeddings import EmbeddingExtractor

            return EmbeddingExtractor.for_training(job, model), EmbeddingExtractor.for_evaluation(job, model)
    raise AssertionError(f"nothing is extracted for model {job.model.name}")


def weights_of(job: Job) -> str:
    """What tells the weights of a job's extractor apart from any others. StorageError if their file can't be read."""
    return extractors_of(job)[1].weights
