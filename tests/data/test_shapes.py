"""The size that `data.image_size: auto` stands for."""

from pathlib import Path

import numpy as np
import pytest

from trainyard.cli.describing import description
from trainyard.cli.planning import loading_words
from trainyard.data.dataset import Dataset
from trainyard.data.loading import plan_data
from trainyard.data.local import read_here
from trainyard.data.manifest import ImageFacts, Manifest
from trainyard.data.shapes import DecodeSettings, auto_size
from trainyard.data.source import Example
from trainyard.data.writer import write_dataset
from trainyard.spec.training import DataSettings

AUTO = DataSettings(path="data/mixed", image_size="auto")


def manifest_of(smallest: tuple[int, int], largest: tuple[int, int]) -> Manifest:
    return Manifest(
        source="tests",
        annotation="mask",
        classes=("a",),
        image=ImageFacts(channels=3, encoding="file", smallest=smallest, largest=largest),
        splits={},
        fingerprint="",
    )


@pytest.mark.parametrize(
    ("smallest", "largest", "size"),
    [
        ((45, 61), (45, 61), (45, 61)),
        ((2048, 4096), (2048, 4096), (2048, 4096)),
        ((200, 300), (200, 340), (192, 320)),
        ((256, 256), (1040, 1388), (448, 512)),
        ((1000, 4000), (1000, 4001), (128, 512)),
        ((5, 9), (6, 9), (32, 32)),
        ((10, 500), (10, 600), (32, 512)),
    ],
    ids=["one-odd-size", "one-large-size", "between", "reduced", "in-proportion", "tiny", "flat"],
)
def test_the_size_lies_between_those_that_there_are(
    smallest: tuple[int, int], largest: tuple[int, int], size: tuple[int, int]
) -> None:
    manifest = manifest_of(smallest, largest)
    assert auto_size(manifest) == size
    assert DecodeSettings.of(AUTO, manifest).image_size == size
    assert DecodeSettings.of(AUTO.model_copy(update={"image_size": None}), manifest).image_size is None


@pytest.fixture
def mixed(tmp_path: Path) -> Dataset:
    """Images of 30x60 and of 120x60 pixels, with masks of one class."""
    examples = [
        Example(
            name=f"{split} {height}",
            split=split,
            image=np.full((height, 60), 200, np.uint8),
            mask=np.zeros((height, 60), np.uint8),
        )
        for split in ("train", "val")
        for height in (30, 120)
    ]
    write_dataset(tmp_path / "mixed", examples, annotation="mask", classes=("a",), source="tests")
    return Dataset.open(tmp_path / "mixed")


def test_images_of_several_sizes_are_decoded_to_one(mixed: Dataset) -> None:
    data = AUTO.model_copy(update={"path": mixed.path, "resize": "pad"})
    read = read_here(mixed, data)
    assert read.train.image_shape == (1, 64, 64)
    assert read.evaluate.image_shape == (1, 64, 64)
    plan = plan_data(mixed.manifest, data, free=1 << 30)
    assert [split.nbytes for split in plan.splits] == [2 * 2 * 64 * 64] * 2
    assert loading_words(plan).startswith("images of 64x64 (auto); train cached (2 rows, 16 KiB)")
    assert plan.as_dict()["image_size"] == [64, 64]


def test_what_it_would_be_is_described(mixed: Dataset) -> None:
    assert "images       grey, 60x30 to 60x120; data.image_size: auto is [64, 64]" in description(mixed, None)
