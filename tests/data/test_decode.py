"""Rows are decoded exactly, and only if they are what was imported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trainyard.data.dataset import Dataset
from trainyard.data.decode import Decoder, decode_split
from trainyard.data.manifest import VOID, Annotation
from trainyard.data.shapes import DecodeSettings
from trainyard.data.source import Boxes, Example
from trainyard.data.writer import write_dataset
from trainyard.errors import DataError

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (5, 8, 12, 3), dtype=np.uint8)
GREYS = RANDOM.integers(0, 256, (3, 8, 12), dtype=np.uint8)


def dataset_of(path: Path, images: Any, *, annotation: Annotation = "label", **columns: Any) -> Dataset:
    """columns: the annotation of each image; labels count up unless given."""
    given = columns or {"label": range(len(images))}
    examples = [
        Example(
            name=f"image {row}", split="train", image=image, **{name: column[row] for name, column in given.items()}
        )
        for row, image in enumerate(images)
    ]
    classes = tuple("abcdefgh")
    write_dataset(path, examples, annotation=annotation, classes=classes, source="tests")
    return Dataset.open(path)


def settings(**stated: Any) -> DecodeSettings:
    return DecodeSettings(**stated)


def replace_images(dataset: Dataset, images: list[bytes]) -> None:
    file = Path(dataset.path) / "train-00000.parquet"
    table = pq.read_table(file)
    at = table.column_names.index("image")
    pq.write_table(table.set_column(at, "image", pa.array(images, pa.binary())), file)


def stored_images(dataset: Dataset) -> list[bytes]:
    return list(pq.read_table(Path(dataset.path) / "train-00000.parquet")["image"].to_pylist())


@pytest.fixture(params=["raw", "png"])
def colours(request: pytest.FixtureRequest, tmp_path: Path, encode: Callable[..., bytes]) -> Dataset:
    images = list(COLOURS) if request.param == "raw" else [encode(image) for image in COLOURS]
    dataset = dataset_of(tmp_path / "colours", images)
    assert dataset.manifest.image.encoding == ("raw" if request.param == "raw" else "file")
    return dataset


def test_colour_images_come_channels_first_and_exact(colours: Dataset) -> None:
    columns = decode_split(colours, "train")
    assert columns["image"].flags.c_contiguous
    assert np.array_equal(columns["image"], COLOURS.transpose(0, 3, 1, 2))
    assert columns["label"].tolist() == [0, 1, 2, 3, 4]


def test_some_rows_of_a_group_go_where_they_are_wanted(colours: Dataset) -> None:
    decoder = Decoder(colours, "train")
    columns = decoder.empty(3)
    group = decoder.read(colours.groups("train")[0])
    decoder.fill(columns, group, np.array([4, 1]), np.array([2, 0]))
    decoder.fill(columns, group, np.array([0]), np.array([1]))
    assert columns["label"].tolist() == [1, 0, 4]
    assert np.array_equal(columns["image"], COLOURS[[1, 0, 4]].transpose(0, 3, 1, 2))


def test_images_are_resized_to_height_and_width(colours: Dataset) -> None:
    assert decode_split(colours, "train", settings(image_size=(4, 5)))["image"].shape == (5, 3, 4, 5)


def test_colours_become_grey_as_pillow_does_it(colours: Dataset) -> None:
    images = decode_split(colours, "train", settings(channels=1))["image"]
    expected = [np.asarray(Image.fromarray(image).convert("L")) for image in COLOURS]
    assert np.array_equal(images[:, 0], expected)


@pytest.mark.parametrize("stored", ["raw", "png"])
def test_grey_becomes_three_channels_alike(tmp_path: Path, stored: str, encode: Callable[..., bytes]) -> None:
    images = list(GREYS) if stored == "raw" else [encode(image) for image in GREYS]
    grey = dataset_of(tmp_path / "grey", images)
    assert np.array_equal(decode_split(grey, "train")["image"], GREYS[:, None])
    assert np.array_equal(decode_split(grey, "train", settings(channels=3))["image"], np.stack([GREYS] * 3, axis=1))


def test_images_of_several_sizes_need_a_size(tmp_path: Path) -> None:
    mixed = dataset_of(tmp_path / "mixed", [COLOURS[0], COLOURS[1][:4]])
    with pytest.raises(DataError, match=r"differ in size \(height 4 to 8, width 12 to 12\): state data.image_size"):
        decode_split(mixed, "train")
    assert decode_split(mixed, "train", settings(image_size=(4, 4)))["image"].shape == (2, 3, 4, 4)


def test_masks_are_moved_as_their_images(tmp_path: Path) -> None:
    masks = RANDOM.integers(0, 3, (3, 8, 12), dtype=np.uint8)
    masks[0, 0] = VOID
    dataset = dataset_of(tmp_path / "masks", list(GREYS), annotation="mask", mask=masks)
    assert np.array_equal(decode_split(dataset, "train")["mask"], masks)
    cropped = decode_split(dataset, "train", settings(image_size=(8, 8), resize="crop"))
    assert np.array_equal(cropped["image"][:, 0], GREYS[:, :, 2:10])
    assert np.array_equal(cropped["mask"], masks[:, :, 2:10])


def test_boxes_are_padded_to_the_most_in_an_image(tmp_path: Path) -> None:
    boxes = [
        Boxes(corners=np.array([[1.0, 2, 4, 6], [0, 0, 3, 3]]), labels=np.array([1, 2]), crowd=np.array([True, False])),
        Boxes(corners=np.zeros((0, 4)), labels=np.zeros(0, np.int64), crowd=np.zeros(0, bool)),
        Boxes(corners=np.array([[4.0, 2, 9, 6]]), labels=np.array([3]), crowd=np.array([False])),
    ]
    dataset = dataset_of(tmp_path / "boxes", list(GREYS), annotation="boxes", boxes=boxes)
    columns = decode_split(dataset, "train")
    assert columns["boxes"].tolist()[0] == [[1, 2, 4, 6], [0, 0, 3, 3]]
    assert columns["box_labels"].tolist() == [[1, 2], [-1, -1], [3, -1]]
    assert columns["box_crowd"].tolist() == [[True, False], [False, False], [False, False]]
    # The middle 8 of 12 columns: of the first image's boxes one is cut off at the left, and so is the other.
    cropped = decode_split(dataset, "train", settings(image_size=(8, 8), resize="crop"))
    assert cropped["boxes"].tolist()[0] == [[0, 2, 2, 6], [0, 0, 1, 3]]
    assert cropped["boxes"].tolist()[2][0] == [2, 2, 7, 6]


def test_an_unknown_split_names_the_known_ones(colours: Dataset) -> None:
    with pytest.raises(DataError, match=r"has no split val. It has: train"):
        decode_split(colours, "val")


def test_an_image_that_was_exchanged_is_named(colours: Dataset) -> None:
    images = stored_images(colours)
    replace_images(colours, [images[1], *images[1:]])
    with pytest.raises(
        DataError, match=r"the image image 0 of split train isn't what was imported: its digest differs"
    ):
        decode_split(Dataset.open(colours.path), "train")


def test_rows_in_another_order_are_refused(colours: Dataset) -> None:
    file = Path(colours.path) / "train-00000.parquet"
    pq.write_table(pq.read_table(file).take(pa.array([1, 0, 2, 3, 4])), file)
    with pytest.raises(DataError, match=r"the content of split train isn't what was imported"):
        decode_split(Dataset.open(colours.path), "train")


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    dataset = dataset_of(tmp_path / "colours", [encode(image) for image in COLOURS])
    images = stored_images(dataset)
    replace_images(dataset, [images[0], images[1][:40], *images[2:]])
    with pytest.raises(
        DataError, match=r"colours: the image image 1 of split train can't be decoded: .*import it again"
    ):
        decode_split(Dataset.open(dataset.path), "train")


def test_raw_images_of_another_length_are_refused(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "colours", list(COLOURS))
    images = stored_images(dataset)
    replace_images(dataset, [*images[:4], images[4][:-1]])
    with pytest.raises(DataError, match=r"image 4 of split train doesn't have 8x12x3 pixels"):
        decode_split(Dataset.open(dataset.path), "train")


def test_a_whole_group_in_another_order_keeps_images_and_labels_together(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "data", [np.full((2, 2), row, np.uint8) for row in range(8)])
    decoder = Decoder(dataset, "train")
    stored = decoder.groups(dataset.groups("train"))
    order = np.array([3, 1, 7, 0, 2, 6, 5, 4])

    columns = decoder.empty(8)
    decoder.fill(columns, decoder.read(dataset.groups("train")[0]), order)

    assert np.array_equal(columns["image"], stored["image"][order])
    assert np.array_equal(columns["label"], stored["label"][order])
    assert np.array_equal(columns["image"][:, 0, 0, 0], columns["label"]), "each image shows its label"
