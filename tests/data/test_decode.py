"""Splits are decoded exactly, and only if they are what was imported."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainyard.data.dataset import Dataset, write_dataset
from trainyard.data.decode import decode_split
from trainyard.data.writer import Example
from trainyard.errors import DataError

COLOURS = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)


def dataset_of(path: Path, images: list[np.ndarray]) -> Dataset:
    examples = [Example(split="train", image=image, label=0) for image in images]
    write_dataset(path, examples, classes=("thing",), source="tests")
    return Dataset.open(path)


@pytest.fixture
def colours(tmp_path: Path) -> Dataset:
    return dataset_of(tmp_path / "colours", list(COLOURS))


def replace_images(dataset: Dataset, images: list[bytes]) -> None:
    file = dataset.path / "train-00000.parquet"
    pq.write_table(pq.read_table(file).set_column(0, "image", pa.array(images, pa.binary())), file)


def test_colour_images_come_channels_first_and_exact(colours: Dataset) -> None:
    images = decode_split(colours, "train")["image"]
    assert images.flags.c_contiguous
    assert np.array_equal(images, COLOURS.transpose(0, 3, 1, 2))


def test_images_are_resized_to_height_and_width(colours: Dataset) -> None:
    assert decode_split(colours, "train", image_size=(4, 5))["image"].shape == (3, 3, 4, 5)


def test_resizing_averages_what_it_shrinks(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (8, 4))
    image = decode_split(dataset_of(tmp_path / "stripes", [stripes]), "train", image_size=(4, 1))["image"]
    assert np.allclose(image, 100, atol=10)


def test_images_of_several_sizes_need_a_size(tmp_path: Path) -> None:
    mixed = dataset_of(tmp_path / "mixed", [COLOURS[0], COLOURS[1][:4]])
    with pytest.raises(DataError, match=r"differ in size: state data.image_size: \[height, width\]"):
        decode_split(mixed, "train")
    assert decode_split(mixed, "train", image_size=(4, 4))["image"].shape == (2, 3, 4, 4)


def test_an_unknown_split_names_the_known_ones(colours: Dataset) -> None:
    with pytest.raises(DataError, match=r"has no split val. It has: train"):
        decode_split(colours, "val")


def test_content_that_was_changed_is_refused(colours: Dataset) -> None:
    file = colours.path / "train-00000.parquet"
    images = pq.read_table(file)["image"].to_pylist()
    replace_images(colours, [images[1], images[0], images[2]])
    with pytest.raises(DataError, match=r"the content of split train isn't what was imported"):
        decode_split(Dataset.open(colours.path), "train")


def test_an_image_that_cannot_be_decoded_is_named(colours: Dataset) -> None:
    images = pq.read_table(colours.path / "train-00000.parquet")["image"].to_pylist()
    replace_images(colours, [images[0], images[1][:40], images[2]])
    with pytest.raises(DataError, match=r"the image of row 1 of split train can't be decoded"):
        decode_split(Dataset.open(colours.path), "train")
