"""Pictures in memory for the input pipelines, and the augmentations that every side applies to them."""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

SIZES = {"small": (32, 32), "large": (360, 480)}
ROWS = {"small": 20_000, "large": 160}
BATCH_SIZE = {"small": 128, "large": 16}
CLASSES = 10

DEGREES, SHIFT, ZOOM, AMOUNT = 10.0, 0.1, (0.9, 1.1), 0.2
"""Mirrored with probability 0.5; turned, shifted and zoomed by up to so much; brightness, contrast, saturation."""


def on_one_core() -> None:
    """This process, and those that it starts, on one and the same core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def pictures(case: str) -> dict[str, np.ndarray]:
    """Parts of the two photographs that scikit-learn ships: image uint8 (N, 3, H, W), label (N,), and for the large
    case mask uint8 (N, H, W)."""
    random = np.random.default_rng(0)
    photographs = load_sample_images().images
    (height, width), rows = SIZES[case], ROWS[case]
    image = np.empty((rows, 3, height, width), np.uint8)
    for row in range(rows):
        photograph = photographs[row % 2]
        top = random.integers(photograph.shape[0] - height + 1)
        left = random.integers(photograph.shape[1] - width + 1)
        image[row] = photograph[top : top + height, left : left + width].transpose(2, 0, 1)
    columns = {"image": image, "label": np.arange(rows, dtype=np.int64) % CLASSES}
    if case == "large":
        columns["mask"] = (image[:, 0] // 26).astype(np.uint8)
    return columns


def rate(batches: Iterable[int], seconds: float) -> dict[str, float]:
    """Images/s over at least so many seconds, after the first two batches, which warm up."""
    images, started = 0, 0.0
    for number, size in enumerate(batches):
        if number == 2:
            images, started = 0, time.perf_counter()
        images += size
        if number > 2 and time.perf_counter() - started > seconds:
            break
    elapsed = time.perf_counter() - started
    return {"images": images - size if number == 2 else images, "seconds": elapsed, "rate": images / elapsed}


def measure(batches: Callable[[str], Iterable[int]], *, within: AbstractContextManager[None] | None = None) -> None:
    """What a side's file does when it is run: the rate of one case's batches on one core, with one thread of torch.

    within: entered once the process is on its core, so that those which it starts are, too.
    """
    import torch  # here, as other sides that use this file do without

    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--case", choices=list(SIZES), required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    on_one_core()
    torch.set_num_threads(1)
    with within or nullcontext():
        result = rate(batches(options.case), options.seconds)
    (options.folder / "result.json").write_text(json.dumps(result))


def epochs() -> Iterator[int]:
    epoch = 0
    while True:
        epoch += 1
        yield epoch


def image_files(folder: Path, count: int, height: int, width: int) -> None:
    """So many JPEG files in ten class folders."""
    random = np.random.default_rng(0)
    photographs = load_sample_images().images
    for index in range(count):
        place = folder / f"class_{index % CLASSES}" / f"{index:06d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        photograph = photographs[index % 2]
        top = random.integers(photograph.shape[0] - height + 1)
        left = random.integers(photograph.shape[1] - width + 1)
        Image.fromarray(photograph[top : top + height, left : left + width]).save(place, quality=90)
