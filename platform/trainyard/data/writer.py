"""Writing the files of one split, and the fingerprint of their content."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from trainyard.data.manifest import ImageFacts, Manifest, SplitFacts
from trainyard.errors import DataError

ROWS_PER_FILE = 10_000
BYTES_PER_FILE = 64 << 20
SCHEMA = pa.schema([("image", pa.binary()), ("label", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row of a source: its split, its image, uint8 (H, W) or (H, W, 3), and its class as an index."""

    split: str
    image: np.ndarray
    label: int


class ContentDigest:
    """The fingerprint of a split: SHA-256 over shape, pixels and label of each row."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, image: np.ndarray, label: int) -> None:
        """image: uint8 (H, W, C)."""
        self._digest.update(np.array([*image.shape, label], dtype="<i8").tobytes())
        self._digest.update(np.ascontiguousarray(image).data)

    def hex(self) -> str:
        return self._digest.hexdigest()


class SplitWriter:
    """Collects the rows of one split and writes files of at most ROWS_PER_FILE rows and about BYTES_PER_FILE."""

    def __init__(self, folder: Path, split: str, classes: tuple[str, ...]) -> None:
        self._folder = folder
        self._split = split
        self._digest = ContentDigest()
        self._images: list[bytes] = []
        self._labels: list[int] = []
        self._bytes = 0
        self._files: list[str] = []
        self._counts = [0] * len(classes)
        self.shapes: set[tuple[int, int, int]] = set()

    def add(self, example: Example) -> None:
        """ValueError if the example is not what an example must be."""
        image = _height_width_channels(example.image)
        if not 0 <= example.label < len(self._counts):
            raise ValueError(f"label {example.label} is not one of the {len(self._counts)} classes")
        self._digest.add(image, example.label)
        height, width, channels = image.shape
        self.shapes.add((height, width, channels))
        self._counts[example.label] += 1
        self._images.append(_png(image))
        self._labels.append(example.label)
        self._bytes += len(self._images[-1])
        if len(self._images) >= ROWS_PER_FILE or self._bytes >= BYTES_PER_FILE:
            self._flush()

    def finish(self) -> SplitFacts:
        self._flush()
        return SplitFacts(
            rows=sum(self._counts),
            files=tuple(self._files),
            class_counts=tuple(self._counts),
            fingerprint=self._digest.hex(),
        )

    def _flush(self) -> None:
        if not self._images:
            return
        file = f"{self._split}-{len(self._files):05d}.parquet"
        table = pa.table([self._images, self._labels], schema=SCHEMA)
        # PNG is compressed already; small row groups let a reader stop early.
        pq.write_table(table, self._folder / file, compression="none", row_group_size=1024)
        self._files.append(file)
        self._images, self._labels, self._bytes = [], [], 0


def manifest_of(writers: Mapping[str, SplitWriter], *, classes: tuple[str, ...], source: str) -> Manifest:
    """Finish the splits and sum them up. DataError if there is no row, or if images differ in their channels."""
    shapes = {shape for writer in writers.values() for shape in writer.shapes}
    if len({channels for _, _, channels in shapes}) != 1:
        found = "grey and colour images are mixed" if shapes else "there is no image in it"
        raise DataError(f"{source}: {found}. A data set needs images of one kind.")
    splits = {split: writer.finish() for split, writer in sorted(writers.items())}
    return Manifest(
        source=source,
        classes=classes,
        image=_image_facts(shapes),
        splits=splits,
        fingerprint=_fingerprint(classes, splits),
    )


def _image_facts(shapes: set[tuple[int, int, int]]) -> ImageFacts:
    height, width, channels = next(iter(shapes))
    one_size = len(shapes) == 1
    return ImageFacts(channels=channels, height=height if one_size else None, width=width if one_size else None)


def _fingerprint(classes: tuple[str, ...], splits: Mapping[str, SplitFacts]) -> str:
    digest = hashlib.sha256()
    for text in [*classes, "", *(part for name, split in splits.items() for part in (name, split.fingerprint))]:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def _height_width_channels(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8:
        raise ValueError(f"the image's type must be uint8, got {image.dtype}")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"the image must be (height, width) or (height, width, 3), got {image.shape}")
    return image


def _png(image: np.ndarray) -> bytes:
    """Lossless, and the same bytes from the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, format="png")
    return buffer.getvalue()
