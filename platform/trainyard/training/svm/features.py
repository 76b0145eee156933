"""Features of images from a frozen network, and splits of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from trainyard.data.columns import Columns
from trainyard.data.manifest import Manifest
from trainyard.spec.job import Job
from trainyard.spec.models.svm import Features, Svm
from trainyard.spec.pretrained import is_file
from trainyard.training.extraction.digests import file_digest
from trainyard.training.svm.split import FeatureSplit

if TYPE_CHECKING:  # torch is imported where it is needed
    from trainyard.training.svm.standardised import Standardised

FEATURES_VERSION = 1
"""Goes up when the same images, settings and weights come to have other features."""


@dataclass(frozen=True, kw_only=True)
class FeatureExtractor:
    """Makes features with one of torchvision's nets.

    Columns: `features`, float32 (N, D), and `label`, int64 (N,).
    """

    what: ClassVar[str] = "features"
    copies: ClassVar[int] = 0
    part_rows: ClassVar[int | None] = None

    features: Features
    weights: str
    seed: int
    batch_size: int

    @classmethod
    def of(cls, job: Job, model: Svm) -> Self:
        """StorageError if the file of the weights can't be read."""
        return cls(
            features=model.features,
            weights=weights_digest(model.features.weights, job.training.seed),
            seed=job.training.seed,
            batch_size=job.training.batch_size,
        )

    @property
    def architecture(self) -> str:
        return self.features.architecture

    @property
    def advice(self) -> str:
        return f"Are the weights of {self.architecture} sound, and is model.features.normalize what they want?"

    @property
    def identity(self) -> Sequence[Any]:
        return [{**self.features.model_dump(), "weights": self.weights}, FEATURES_VERSION]

    def extract(self, decoded: Columns, first_row: int, device: str) -> Columns:
        # Imported here: whoever finds all chunks on the disk does without torch.
        from trainyard.training.svm.extraction import extract

        features = extract(decoded["image"], self.features, seed=self.seed, batch_size=self.batch_size, device=device)
        return {"features": features, "label": np.ascontiguousarray(decoded["label"])}


def weights_digest(weights: str | None, seed: int) -> str:
    """What tells weights apart: the SHA-256 of a file, the name of published ones, the seed of those that are drawn.

    StorageError if a file can't be read.
    """
    if weights is None:
        return f"drawn by seed {seed}, torch {version('torch')}"
    if not is_file(weights):
        return f"{weights} of torchvision {version('torchvision')}"
    return file_digest(Path(weights))


@dataclass(frozen=True, kw_only=True)
class FeatureData:
    """The splits of a job as features, and the manifest of their data set. weights: what tells them apart."""

    manifest: Manifest
    train: FeatureSplit
    evaluate: FeatureSplit
    weights: str

    @cached_property
    def standardised(self) -> "Standardised":
        """Of the training split: made for the first trial of a process, and shared by the others."""
        from trainyard.training.svm.standardised import Standardised

        return Standardised.of(self.train)
