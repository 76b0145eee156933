"""Data sets in memory, for what is measured without reading files."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainyard.data.manifest import Annotation, FileFacts, ImageFacts, Manifest, SplitFacts
from trainyard.data.split import MemorySplit, TrialData

CLASSES = 10


def random_data(image: tuple[int, int, int], *, train: int, evaluate: int) -> TrialData:
    """So many images (C, H, W) of noise to train on and to evaluate on, their labels 0 to 9 in turn."""
    random = np.random.default_rng(0)
    splits = {
        name: {"image": random.integers(0, 256, (rows, *image), dtype=np.uint8), "label": np.arange(rows) % CLASSES}
        for name, rows in (("train", train), ("val", evaluate))
    }
    return TrialData(
        manifest=manifest_of(splits, "label"),
        train=MemorySplit.of(splits["train"]),
        evaluate=MemorySplit.of(splits["val"]),
    )


def manifest_of(splits: Mapping[str, Mapping[str, np.ndarray]], annotation: Annotation) -> Manifest:
    """Of columns `image` uint8 (N, C, H, W) and `label` by split, as if there were as much of each class everywhere."""
    facts = {name: _facts(columns) for name, columns in splits.items()}
    channels, *size = next(iter(splits.values()))["image"].shape[1:]
    return Manifest(
        source="memory",
        annotation=annotation,
        classes=tuple(map(str, range(CLASSES))),
        image=ImageFacts(channels=channels, encoding="raw", smallest=size, largest=size),
        splits=facts,
        fingerprint="",
    )


def _facts(columns: Mapping[str, np.ndarray]) -> SplitFacts:
    rows, channels = columns["image"].shape[:2]
    counts: Any = tuple(len(part) for part in np.array_split(np.arange(rows), CLASSES))
    return SplitFacts(
        rows=rows,
        files=(FileFacts(name="none", rows=rows),),
        class_images=counts,
        class_totals=counts,
        pixel_mean=(0.5,) * channels,
        pixel_std=(0.3,) * channels,
        fingerprint="",
    )
