"""What is known of the rows that one file holds, and how that adds up to a manifest."""

import base64
import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from trainyard.data.importing.checks import Rules
from trainyard.data.manifest import BoxFacts, FileFacts, ImageFacts, MadeSplit, Manifest, SplitFacts
from trainyard.data.source import Problem

IMAGE_DIGEST_BYTES = 16
"""Of the SHA-256 of an image: enough to tell images apart."""

LEVELS = 256


def _unpacked(value: Any) -> Any:
    return base64.b64decode(value) if isinstance(value, str) else value


def _packed(value: bytes) -> str:
    return base64.b64encode(value).decode()


Packed = Annotated[bytes, BeforeValidator(_unpacked), PlainSerializer(_packed, return_type=str, when_used="json")]


class ShardFacts(BaseModel):
    """The facts of one Parquet file, kept beside it until all of them are there.

    size: of the file in bytes; 0 if no row was left, and so no file. excluded: those of the shard that it was made of.
    positions: int32, of each row among the shard's entries.
    digests: 32 bytes a row. image_digests: IMAGE_DIGEST_BYTES a row.
    grey, colour: pixels of each value, of the grey images and of the channels of the colour images.
    box_sizes: float32, (width, height) of each box.
    """

    model_config = ConfigDict(extra="forbid")

    file: str
    split: str
    rows: int = 0
    size: int = 0
    excluded: dict[int, str] = {}
    positions: Packed = b""
    digests: Packed = b""
    image_digests: Packed = b""
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    grey: list[int]
    colour: list[int]
    class_images: list[int]
    class_totals: list[int]
    void_pixels: int = 0
    most_boxes: int = 0
    box_sizes: Packed = b""
    problems: list[Problem] = []


def manifest_of(
    shards: Sequence[ShardFacts], rules: Rules, *, source: str, made_splits: Mapping[str, MadeSplit], problems: int
) -> Manifest:
    """shards: in the order of the rows; there must be a row."""
    with_rows = [shard for shard in shards if shard.rows]
    image = _image_facts(with_rows, rules)
    by_split: dict[str, list[ShardFacts]] = defaultdict(list)
    for shard in with_rows:
        by_split[shard.split].append(shard)
    splits = {name: _split_facts(parts, rules, image.channels) for name, parts in by_split.items()}
    return Manifest(
        source=source,
        annotation=rules.annotation,
        classes=rules.classes,
        image=image,
        splits=splits,
        made_splits={name: made for name, made in made_splits.items() if name in splits},
        problems=problems,
        fingerprint=_fingerprint(rules, splits),
    )


def _image_facts(shards: Sequence[ShardFacts], rules: Rules) -> ImageFacts:
    smallest = [shard.smallest for shard in shards if shard.smallest]
    largest = [shard.largest for shard in shards if shard.largest]
    return ImageFacts(
        channels=3 if any(any(shard.colour) for shard in shards) else 1,
        encoding="raw" if rules.raw else "file",
        smallest=(min(height for height, _ in smallest), min(width for _, width in smallest)),
        largest=(max(height for height, _ in largest), max(width for _, width in largest)),
    )


def _split_facts(shards: Sequence[ShardFacts], rules: Rules, channels: int) -> SplitFacts:
    means, stds = zip(*(_mean_and_std(histogram) for histogram in _histograms(shards, channels)), strict=True)
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(shard.digests)
    return SplitFacts(
        rows=sum(shard.rows for shard in shards),
        files=tuple(FileFacts(name=shard.file, rows=shard.rows) for shard in shards),
        class_images=tuple(map(sum, zip(*(shard.class_images for shard in shards), strict=True))),
        class_totals=tuple(map(sum, zip(*(shard.class_totals for shard in shards), strict=True))),
        void_pixels=sum(shard.void_pixels for shard in shards),
        boxes=_box_facts(shards) if rules.annotation == "boxes" else None,
        pixel_mean=means,
        pixel_std=stds,
        fingerprint=digest.hexdigest(),
    )


def _histograms(shards: Sequence[ShardFacts], channels: int) -> np.ndarray:
    """int64 (channels, 256). Among colour images a grey one counts for each channel."""
    grey = np.array([shard.grey for shard in shards]).sum(axis=0).reshape(1, LEVELS)
    if channels == 1:
        return grey
    return np.array([shard.colour for shard in shards]).sum(axis=0).reshape(3, LEVELS) + grey


def _mean_and_std(histogram: np.ndarray) -> tuple[float, float]:
    """From whole numbers, so that it doesn't matter in which parts they were counted."""
    counts = [int(count) for count in histogram]
    pixels = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value * value * count for value, count in enumerate(counts))
    return total / pixels / 255, math.sqrt(pixels * squares - total * total) / pixels / 255


def _box_facts(shards: Sequence[ShardFacts]) -> BoxFacts | None:
    sizes = np.frombuffer(b"".join(shard.box_sizes for shard in shards), "<f4").reshape(-1, 2).astype(np.float64)
    if not len(sizes):
        return None

    def quantiles(values: np.ndarray) -> tuple[float, float, float, float, float]:
        found = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
        return found[0], found[1], found[2], found[3], found[4]

    return BoxFacts(
        most=max(shard.most_boxes for shard in shards),
        widths=quantiles(sizes[:, 0]),
        heights=quantiles(sizes[:, 1]),
        ratios=quantiles(sizes[:, 1] / sizes[:, 0]),
    )


def _fingerprint(rules: Rules, splits: Mapping[str, SplitFacts]) -> str:
    digest = hashlib.sha256()
    parts = [part for name in sorted(splits) for part in (name, splits[name].fingerprint)]
    for text in [rules.annotation, *rules.classes, "", *parts]:
        digest.update(text.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()
