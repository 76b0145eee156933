"""Features of images from a frozen network: extracted once, kept on the disk, shared by all trials of a sweep."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from trainyard.data.chunks import ChunkReader
from trainyard.data.columns import Columns, row_count
from trainyard.data.dataset import Dataset, RowGroup
from trainyard.data.decode import DECODER_VERSION
from trainyard.data.disk_cache import CacheSettings, DiskCache, entry_name
from trainyard.data.manifest import Manifest
from trainyard.data.shapes import DecodeSettings
from trainyard.errors import DataError, TrialError
from trainyard.spec.job import Job
from trainyard.spec.model import Features, Svm
from trainyard.spec.pretrained import is_file
from trainyard.training.svm.split import FeatureSplit

if TYPE_CHECKING:  # torch is imported where it is needed
    from trainyard.training.svm.standardised import Standardised

FEATURES_VERSION = 1
"""Goes up when the same images, settings and weights come to have other features."""

DIGEST_BYTES = 1 << 20
"""Of a file that are read at a time."""


@dataclass(frozen=True, kw_only=True)
class FeatureReader:
    """Reads chunks of a split as features: from the disk where they were extracted before, or by extracting them.

    A chunk has the columns `features`, float32 (N, D), and `label`, int64 (N,). What they are follows from the content
    of the split, the decoder, the settings of the extractor and the content of its weights, and so does their name in
    the disk cache. weights: what tells them apart from any others.
    """

    images: ChunkReader
    extractor: Features
    weights: str
    seed: int
    batch_size: int

    @classmethod
    def of(cls, job: Job, dataset: Dataset, split: str) -> Self:
        """TrialError if the file of the weights can't be read."""
        assert isinstance(job.model, Svm)
        return cls(
            images=ChunkReader(dataset, split, DecodeSettings.of(job.data), CacheSettings.here()),
            # Whoever extracts may run in another folder.
            extractor=job.model.located(job.working_directory).features,
            weights=weights_of(job),
            seed=job.training.seed,
            batch_size=job.training.batch_size,
        )

    def chunks(self) -> list[list[RowGroup]]:
        """The row groups of each chunk."""
        return self.images.chunks()

    def stored(self, groups: Sequence[RowGroup]) -> Columns | None:
        """The chunk as it was extracted before, a read-only view of the disk's pages; None if it isn't there."""
        found = self._disk.read(self._entry, _chunk(groups))
        rows = sum(group.rows for group in groups)
        return found if found is not None and all(len(column) == rows for column in found.values()) else None

    def keep(self, groups: Sequence[RowGroup], columns: Columns) -> None:
        """On the disk, for the next time."""
        facts, rows = self.images.dataset.manifest.splits[self.images.split], row_count(columns)
        nbytes = sum(column.nbytes for column in columns.values())
        self._disk.write(
            self._entry,
            _chunk(groups),
            columns,
            data=self.images.dataset.path,
            split=f"{self.images.split}, {self.extractor.architecture} features",
            entry_bytes=facts.rows * nbytes // max(1, rows),
        )

    def extract(self, groups: Sequence[RowGroup], device: str) -> Columns:
        """Decode a chunk, and extract its features on a device.

        TrialError if the extractor can't be built or doesn't take such images. DataError as Decoder, and for a row
        whose features are not finite.
        """
        # Imported here: whoever finds all chunks on the disk does without torch.
        from trainyard.training.svm.extraction import extract

        columns = self.images.read(groups)
        features = extract(columns["image"], self.extractor, seed=self.seed, batch_size=self.batch_size, device=device)
        self._require_finite(features, groups)
        return {"features": features, "label": np.ascontiguousarray(columns["label"])}

    def _require_finite(self, features: np.ndarray, groups: Sequence[RowGroup]) -> None:
        wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(wrong):
            row, split = groups[0].first_row + int(wrong[0]), self.images.split
            others = f", nor those of {len(wrong) - 1} other rows" if len(wrong) > 1 else ""
            raise DataError(
                f"{self.images.dataset.path}: the features of row {row} of split {split} are not finite{others}. Are "
                f"the weights of {self.extractor.architecture} sound, and is model.features.normalize what they want?"
            )

    @cached_property
    def _entry(self) -> str:
        fingerprint = self.images.dataset.manifest.splits[self.images.split].fingerprint
        settings = {**self.extractor.model_dump(), "weights": self.weights}
        content = [entry_name(fingerprint, self.images.settings, DECODER_VERSION), settings, FEATURES_VERSION]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:40]

    @cached_property
    def _disk(self) -> DiskCache:
        return DiskCache(self.images.cache)


def weights_of(job: Job) -> str:
    """What tells the weights of a job's extractor apart from any others. TrialError if their file can't be read."""
    assert isinstance(job.model, Svm)
    return weights_digest(job.model.located(job.working_directory).features.weights, job.training.seed)


def weights_digest(weights: str | None, seed: int) -> str:
    """What tells weights apart: the SHA-256 of a file, the name of published ones, the seed of those that are drawn.

    TrialError if a file can't be read.
    """
    if weights is None:
        return f"drawn by seed {seed}, torch {version('torch')}"
    if not is_file(weights):
        return f"{weights} of torchvision {version('torchvision')}"
    digest = hashlib.sha256()
    try:
        with Path(weights).open("rb") as file:
            while part := file.read(DIGEST_BYTES):
                digest.update(part)
    except FileNotFoundError as error:
        raise TrialError(f"the weights {weights}: there is no such file on this machine. Put it there.") from error
    except OSError as error:
        raise TrialError(f"the weights {weights} can't be read: {error.strerror or error}.") from error
    return digest.hexdigest()


def _chunk(groups: Sequence[RowGroup]) -> str:
    """The name of a chunk within its split."""
    return f"{groups[0].first_row}-{groups[-1].first_row + groups[-1].rows}"


@dataclass(frozen=True, kw_only=True)
class FeatureData:
    """The splits of a job as features, and the manifest of their data set. weights: of FeatureReader."""

    manifest: Manifest
    train: FeatureSplit
    evaluate: FeatureSplit
    weights: str

    @cached_property
    def standardised(self) -> "Standardised":
        """Of the training split: made for the first trial of a process, and shared by the others."""
        from trainyard.training.svm.standardised import Standardised

        return Standardised.of(self.train)


def read_features_here(job: Job, dataset: Dataset, device: str) -> FeatureData:
    """A job's splits as features, read from the disk cache or extracted by this process. Errors as FeatureReader."""
    splits, weights = {}, ""
    for split in dict.fromkeys((job.data.train_split, job.data.evaluate_split)):
        dataset.check_content(split)
        reader = FeatureReader.of(job, dataset, split)
        splits[split] = FeatureSplit([_read(reader, groups, device) for groups in reader.chunks()])
        weights = reader.weights
    train, evaluate = splits[job.data.train_split], splits[job.data.evaluate_split]
    return FeatureData(manifest=dataset.manifest, train=train, evaluate=evaluate, weights=weights)


def _read(reader: FeatureReader, groups: Sequence[RowGroup], device: str) -> Columns:
    columns = reader.stored(groups)
    if columns is None:
        columns = reader.extract(groups, device)
        reader.keep(groups, columns)
    return columns
