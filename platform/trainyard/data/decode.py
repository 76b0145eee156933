"""From a split's encoded images to columns in memory."""

import io

import numpy as np
from PIL import Image

from trainyard.data.columns import Columns
from trainyard.data.dataset import Dataset
from trainyard.data.writer import ContentDigest
from trainyard.errors import DataError


def decode_split(dataset: Dataset, split: str, image_size: tuple[int, int] | None = None) -> Columns:
    """All rows of a split: `image` uint8 (N, C, H, W), C-contiguous, and `label` int64 (N,).

    image_size: (height, width) to which images are resized (bilinear, anti-aliased); None keeps the stored size.
    DataError if there is no such split, if sizes differ and none is asked for, or if the content isn't what was
    imported.
    """
    facts = dataset.manifest.splits.get(split)
    if facts is None:
        raise DataError(f"{dataset.path} has no split {split}. It has: {', '.join(dataset.manifest.splits)}.")
    images = np.empty((facts.rows, dataset.manifest.image.channels, *_size(dataset, image_size)), np.uint8)
    labels = np.empty(facts.rows, np.int64)
    digest = ContentDigest()
    row = 0
    for batch in dataset.batches(split):
        for encoded, label in zip(batch["image"].to_pylist(), batch["label"].to_pylist(), strict=True):
            image = _decode(dataset, split, row, encoded)
            digest.add(image, label)
            images[row] = _resized(image, images.shape[2:]).transpose(2, 0, 1)
            labels[row] = label
            row += 1
    if digest.hex() != facts.fingerprint:
        raise DataError(
            f"{dataset.path}: the content of split {split} isn't what was imported: its fingerprint differs from the "
            f"manifest's. Delete {dataset.path} and import it again (trainyard data import)."
        )
    return {"image": images, "label": labels}


def _size(dataset: Dataset, image_size: tuple[int, int] | None) -> tuple[int, int]:
    stored = dataset.manifest.image
    if image_size is not None:
        return image_size
    if stored.height is None or stored.width is None:
        raise DataError(
            f"the images of {dataset.path} differ in size: state data.image_size: [height, width] in the job."
        )
    return stored.height, stored.width


def _decode(dataset: Dataset, split: str, row: int, encoded: bytes) -> np.ndarray:
    """uint8 (H, W, C), C as the manifest says."""
    mode = "L" if dataset.manifest.image.channels == 1 else "RGB"
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            pixels = np.asarray(picture.convert(mode))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{dataset.path}: the image of row {row} of split {split} can't be decoded: {error}."
        ) from error
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _resized(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
