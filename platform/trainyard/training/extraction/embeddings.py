"""The embeddings of images that a frozen image encoder makes, beside the images and their objects."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar, Self

import numpy as np

from trainyard.data.columns import Columns, row_count
from trainyard.data.dataset import Dataset
from trainyard.data.sampling import RowClasses, row_classes
from trainyard.data.split import MemorySplit, TrialData
from trainyard.errors import StorageError
from trainyard.models.hub import located
from trainyard.spec.augmentations import Augmentations
from trainyard.spec.fitting import training_copies
from trainyard.spec.job import Job
from trainyard.spec.models.promptable import Sam
from trainyard.spec.section import plain
from trainyard.training.extraction.digests import file_digest

EMBEDDINGS_VERSION = 1
"""Goes up when the same images, settings and weights come to have other embeddings, or others as their copies."""

MOST_AT_A_TIME = 4
"""Images that go through an encoder: of the published ones each takes some GB there, and no more keep a GPU busier."""

PART_ROWS = 64
"""Of sam-vit-base a minute's work for a GPU and a quarter of an hour's for a CPU, and 128 MiB."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingExtractor:
    """Makes embeddings with SAM's image encoder.

    Columns: `image` and `mask` as decoded or augmented, see data/columns.py, and `embedding`, float16 (N, C, h, w).
    """

    what: ClassVar[str] = "embeddings"
    part_rows: ClassVar[int | None] = PART_ROWS
    advice: ClassVar[str] = "Are the weights sound? Embeddings are kept as float16, up to 65504."

    model: Sam
    weights: str
    augmentations: Augmentations
    copies: int
    seed: int
    batch_size: int

    @classmethod
    def for_training(cls, job: Job, model: Sam) -> Self:
        """With augmented copies, if the job augments. StorageError if the weights can't be had."""
        return cls._of(job, model, copies=training_copies(job))

    @classmethod
    def for_evaluation(cls, job: Job, model: Sam) -> Self:
        """Of the rows as they are. StorageError if the weights can't be had."""
        return cls._of(job, model, copies=0)

    @classmethod
    def _of(cls, job: Job, model: Sam, *, copies: int) -> Self:
        return cls(
            model=model,
            weights=_told_apart(model.weights, job.training.seed),
            augmentations=job.augmentations,
            copies=copies,
            seed=job.training.seed,
            batch_size=min(job.training.batch_size // job.resources.most_workers, MOST_AT_A_TIME),
        )

    @property
    def architecture(self) -> str:
        return self.model.architecture

    @property
    def identity(self) -> Sequence[Any]:
        encoder = {name: self.model.settings.get(name) for name in ("architecture", "encoder")}
        copied = [self.copies, plain(self.augmentations), self.seed] if self.copies else []
        return ["embeddings", EMBEDDINGS_VERSION, encoder, self.weights, copied]

    def extract(self, decoded: Columns, first_row: int, device: str) -> Columns:
        # Whoever extracts may be on another machine, where a folder or the hub's cache may have others.
        if self.model.weights is not None and _told_apart(self.model.weights, self.seed) != self.weights:
            raise StorageError(
                f"the weights {self.model.weights} are others on {platform.node()} than on the machine that runs the "
                "command. Put the same file there, or clear what its cache of Hugging Face's hub has of them."
            )
        # Imported here: whoever finds all chunks on the disk does without torch.
        from trainyard.training.extraction.encoding import augmented_copy, encoded

        rows = {name: [np.ascontiguousarray(decoded[name])] for name in ("image", "mask")}
        for copy in range(self.copies):
            # No two copies, of whatever part, are drawn alike.
            draw = first_row * self.copies + copy + 1
            for name, column in augmented_copy(decoded, self.augmentations, seed=self.seed, draw=draw).items():
                rows[name].append(column)
        columns = {name: np.concatenate(parts) for name, parts in rows.items()}
        embedding = encoded(columns["image"], self.model, seed=self.seed, batch_size=self.batch_size, device=device)
        return {**columns, "embedding": embedding}


def embedded_data(job: Job, dataset: Dataset, train: Sequence[Columns], evaluate: Sequence[Columns]) -> TrialData:
    """Splits in memory, of parts that an EmbeddingExtractor made."""
    return TrialData(
        manifest=dataset.manifest,
        train=embedded_split(dataset, job.data.train_split, train, copies=training_copies(job)),
        evaluate=embedded_split(dataset, job.data.evaluate_split, evaluate, copies=0),
    )


def embedded_split(dataset: Dataset, split: str, parts: Sequence[Columns], *, copies: int) -> MemorySplit:
    """A split in memory, of its parts, each with so many copies of its rows."""
    sources = source_rows([row_count(part) for part in parts], copies=copies)

    def classes() -> RowClasses:
        return _chosen(row_classes(dataset, split), sources)

    def names(rows: Sequence[int]) -> list[str]:
        return dataset.names(split, [int(sources[row]) for row in rows])

    return MemorySplit(parts, classes, names)


def source_rows(sizes: Sequence[int], *, copies: int) -> np.ndarray:
    """int64: of which row of the data set each row is, in parts of so many rows with their copies."""
    own = [size // (1 + copies) for size in sizes]
    starts = np.cumsum([0, *own])
    parts = zip(own, starts[:-1], strict=True)
    return np.concatenate([np.tile(np.arange(rows) + start, 1 + copies) for rows, start in parts])


def _chosen(rows: RowClasses, chosen: np.ndarray) -> RowClasses:
    parts = [rows.classes[rows.starts[row] : rows.starts[row + 1]] for row in chosen.tolist()]
    return RowClasses(classes=np.concatenate(parts), starts=np.cumsum([0, *map(len, parts)]))


def _told_apart(weights: str | None, seed: int) -> str:
    """SHA-256 of the file of weights, or the seed of those that are drawn. StorageError if they can't be had."""
    if weights is None:
        return f"drawn by seed {seed}, torch {version('torch')}, transformers {version('transformers')}"
    return file_digest(located(weights))
