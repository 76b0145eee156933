"""A small job and small data that tests of training share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trainyard.data.manifest import VOID, Annotation, BoxFacts, FileFacts, ImageFacts, Manifest, SplitFacts
from trainyard.data.split import MemorySplit, TrialData
from trainyard.spec.job import Job

CLASSES = 6
TRAIN_ROWS, EVALUATE_ROWS = 150, 45


@pytest.fixture(scope="session")
def data() -> TrialData:
    """Six noisy patterns of 8x8 pixels in three colours: a net learns them in a few epochs, and not in one."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 256, (CLASSES, 3, 8, 8))

    def split(rows: int) -> dict[str, np.ndarray]:
        labels = random.permutation(np.arange(rows) % CLASSES)
        noisy = 0.6 * patterns[labels] + 0.4 * random.integers(0, 256, (rows, 3, 8, 8))
        columns = {"image": noisy.astype(np.uint8), "label": labels.astype(np.int64)}
        for column in columns.values():
            column.setflags(write=False)  # as Ray's shared memory is
        return columns

    train, evaluate = split(TRAIN_ROWS), split(EVALUATE_ROWS)
    manifest = manifest_of(train["label"], evaluate["label"])
    return TrialData(manifest=manifest, train=MemorySplit.of(train), evaluate=MemorySplit.of(evaluate))


def manifest_of(train: np.ndarray, evaluate: np.ndarray) -> Manifest:
    splits = {}
    for name, labels in (("train", train), ("val", evaluate)):
        counts = tuple(np.bincount(labels, minlength=CLASSES).tolist())
        splits[name] = SplitFacts(
            rows=len(labels),
            files=(FileFacts(name=f"{name}.parquet", rows=len(labels)),),
            class_images=counts,
            class_totals=counts,
            pixel_mean=(0.5,) * 3,
            pixel_std=(0.2,) * 3,
            fingerprint="",
        )
    return Manifest(
        source="tests",
        annotation="label",
        classes=tuple("abcdef"),
        image=ImageFacts(channels=3, encoding="raw", smallest=(8, 8), largest=(8, 8)),
        splits=splits,
        fingerprint="",
    )


@pytest.fixture(scope="session")
def make_job() -> Callable[..., Job]:
    """make_job(optimizer={...}, ...): a small job with some of its sections replaced; `training` is only changed."""

    def make(**sections: Any) -> Job:
        job: dict[str, Any] = {
            "name": "patterns",
            "task": "classification",
            "data": {"path": "data/patterns"},
            "model": {"name": "cnn", "channels": [8, 16], "padding": "same", "dropout": 0.3},
            "loss": {"cross_entropy": {}},
            "optimizer": {"name": "adamw", "lr": 0.01},
            "objective": {"metric": "val/accuracy", "mode": "max"},
        }
        training = {"epochs": 5, "batch_size": 16} | sections.pop("training", {})
        return Job.from_dict(job | sections | {"training": training})

    return make


SCENE_CLASSES = ("ground", "red", "green")


@pytest.fixture(scope="session")
def make_scenes() -> Callable[..., TrialData]:
    """make_scenes("mask"): noise with a red and a green box in front, or one of them, in each image.

    What is in an image is told by a label, a mask of which a part is void, or boxes of which some are crowds.
    """

    def make(
        annotation: Annotation, *, rows: tuple[int, int] = (24, 9), image: tuple[int, int, int] = (3, 24, 32)
    ) -> TrialData:
        random = np.random.default_rng(0)
        train, evaluate = (scenes(annotation, count, image, random) for count in rows)
        splits = {name: scene_facts(columns) for name, columns in (("train", train), ("val", evaluate))}
        size = image[1:]
        manifest = Manifest(
            source="tests",
            annotation=annotation,
            classes=SCENE_CLASSES,
            image=ImageFacts(channels=image[0], encoding="raw", smallest=size, largest=size),
            splits=splits,
            fingerprint="",
        )
        return TrialData(manifest=manifest, train=MemorySplit.of(train), evaluate=MemorySplit.of(evaluate))

    return make


def scenes(
    annotation: Annotation, rows: int, image: tuple[int, int, int], random: np.random.Generator
) -> dict[str, np.ndarray]:
    channels, height, width = image
    pixels = random.integers(0, 100, (rows, *image)).astype(np.uint8)
    masks, boxes = np.zeros((rows, height, width), np.uint8), np.zeros((rows, 2, 4), np.float32)
    labels = np.full((rows, 2), -1)
    for row in range(rows):
        for box, label in enumerate((1, 2) if row % 3 else (1 + row % 2,)):
            top, left = random.integers(0, height // 2), random.integers(0, width // 2)
            bottom, right = top + random.integers(6, height // 2), left + random.integers(6, width // 2)
            pixels[row, (label - 1) % channels, top:bottom, left:right] = 200 + 20 * label
            masks[row, top:bottom, left:right] = label
            boxes[row, box], labels[row, box] = (left, top, right, bottom), label
        masks[row, : row % 5] = VOID
    crowd = (labels >= 0) & (np.arange(rows)[:, None] % 7 == 5)
    told = {
        "label": {"label": labels[:, 0]},
        "mask": {"mask": masks},
        "boxes": {"boxes": boxes, "box_labels": labels, "box_crowd": crowd},
    }
    return {"image": pixels, **told[annotation]}


def scene_facts(columns: dict[str, np.ndarray]) -> SplitFacts:
    told = next(columns[name] for name in ("label", "mask", "box_labels") if name in columns)
    totals = tuple(int((told == label).sum()) for label in range(len(SCENE_CLASSES)))
    rows = len(columns["image"])
    return SplitFacts(
        rows=rows,
        files=(FileFacts(name="scenes.parquet", rows=rows),),
        class_images=totals,
        class_totals=totals,
        boxes=box_facts(columns["boxes"][told >= 0]) if "boxes" in columns else None,
        pixel_mean=(0.2,) * 3,
        pixel_std=(0.2,) * 3,
        fingerprint="",
    )


def box_facts(boxes: np.ndarray) -> BoxFacts:
    sizes = boxes[:, 2:] - boxes[:, :2]
    widths, heights, ratios = (
        tuple(np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist())
        for values in (sizes[:, 0], sizes[:, 1], sizes[:, 1] / sizes[:, 0])
    )
    return BoxFacts(most=2, widths=widths, heights=heights, ratios=ratios)
