"""A data set is written as a whole or not at all, and opened only if it is sound."""

import dataclasses
import json
import pickle
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainyard.data import location as location_module
from trainyard.data.dataset import Dataset, RowGroup, row_digest
from trainyard.data.location import Location
from trainyard.data.manifest import Manifest
from trainyard.data.source import Boxes, Example
from trainyard.data.writer import write_dataset
from trainyard.errors import DataError, StorageError

CLASSES = ("cat", "dog")


def example(value: int, *, split: str = "train", shape: tuple[int, ...] = (4, 6), label: int = 0) -> Example:
    return Example(name=f"{split}/{value}", split=split, image=np.full(shape, value, np.uint8), label=label)


EXAMPLES = [example(1), example(2, label=1), example(3, split="val"), example(4)]


def write(path: Path, examples: list[Example] = EXAMPLES, classes: tuple[str, ...] = CLASSES) -> Manifest:
    return write_dataset(path, examples, annotation="label", classes=classes, source="tests")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    write(tmp_path / "pets")
    return tmp_path / "pets"


def problem_of(path: Path) -> str:
    with pytest.raises(DataError) as error:
        Dataset.open(path)
    return str(error.value)


def rows_of(path: Path, split: str = "train") -> list[dict[str, Any]]:
    dataset = Dataset.open(path)
    columns = ["name", "image", "label", "classes", "digest"]
    return [row for group in dataset.groups(split) for row in dataset.read_group(group, columns).to_pylist()]


def test_what_was_written_is_what_is_read(pets: Path) -> None:
    rows = rows_of(pets)
    assert [row["name"] for row in rows] == ["train/1", "train/2", "train/4"]
    assert [row["image"] for row in rows] == [bytes([value]) * 24 for value in (1, 2, 4)]
    assert [(row["label"], row["classes"]) for row in rows] == [(0, [0]), (1, [1]), (0, [0])]
    assert [row["digest"] for row in rows] == [row_digest(row["image"], label=row["label"]) for row in rows]


def test_the_manifest_counts_rows_and_classes(pets: Path) -> None:
    manifest = Dataset.open(pets).manifest
    assert (manifest.classes, manifest.annotation) == (CLASSES, "label")
    assert manifest.splits["train"].rows == 3
    assert manifest.splits["train"].class_totals == (2, 1)
    assert (manifest.image.channels, manifest.image.encoding, manifest.image.size) == (1, "raw", (4, 6))


def test_row_groups_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.data.importing.planning.SHARD_ROWS", 3)
    monkeypatch.setattr("trainyard.data.importing.shard.GROUP_ROWS", 2)
    write(tmp_path / "pets", [example(value) for value in range(5)])
    dataset = Dataset.open(tmp_path / "pets")
    assert dataset.groups("train") == [
        RowGroup(file="train-00000.parquet", index=0, first_row=0, rows=2),
        RowGroup(file="train-00000.parquet", index=1, first_row=2, rows=1),
        RowGroup(file="train-00001.parquet", index=0, first_row=3, rows=2),
    ]
    assert dataset.column("train", "name").to_pylist() == [f"train/{value}" for value in range(5)]
    again = pickle.loads(pickle.dumps(dataset))
    assert again.read_group(again.groups("train")[2], ["name"]) == dataset.read_group(
        dataset.groups("train")[2], ["name"]
    )


def test_row_groups_are_cut_by_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.data.importing.shard.GROUP_BYTES", 40)
    write(tmp_path / "pets", [example(value) for value in range(5)])
    assert [group.rows for group in Dataset.open(tmp_path / "pets").groups("train")] == [2, 2, 1]


def test_a_split_that_is_not_there(pets: Path) -> None:
    with pytest.raises(DataError, match=r"pets has no split test. It has: train, val."):
        Dataset.open(pets).groups("test")


def test_images_of_several_shapes_are_stored_as_files(tmp_path: Path) -> None:
    manifest = write(tmp_path / "pets", [example(1), example(2, shape=(6, 4)), example(3, shape=(2, 2, 3))])
    assert (manifest.image.channels, manifest.image.encoding) == (3, "file")
    assert rows_of(tmp_path / "pets")[0]["image"].startswith(b"\x89PNG")


def test_masks_and_boxes_are_stored_beside_the_images(tmp_path: Path) -> None:
    image = np.zeros((4, 6), np.uint8)
    mask = np.array([[0, 0, 0, 1, 1, 255]] * 4, np.uint8)
    masked = [Example(name="a", split="train", image=image, mask=mask)]
    assert write_dataset(tmp_path / "masks", masked, annotation="mask", classes=CLASSES, source="tests").splits[
        "train"
    ].class_totals == (12, 8)
    found = Boxes(
        corners=np.array([[0, 0, 3, 4], [1, 1, 2, 2.5]]), labels=np.array([1, 0]), crowd=np.array([False, True])
    )
    boxed = [Example(name="a", split="train", image=image, boxes=found)]
    write_dataset(tmp_path / "boxes", boxed, annotation="boxes", classes=CLASSES, source="tests")
    dataset = Dataset.open(tmp_path / "boxes")
    [row] = dataset.read_group(
        dataset.groups("train")[0], ["image", "boxes", "box_labels", "box_crowd", "classes", "digest"]
    ).to_pylist()
    assert row["boxes"] == [0, 0, 3, 4, 1, 1, 2, 2.5]
    assert (row["box_labels"], row["box_crowd"], row["classes"]) == ([1, 0], [False, True], [0, 1])
    assert row["digest"] == row_digest(row["image"], boxes=found)


def test_the_same_content_has_the_same_fingerprint(tmp_path: Path) -> None:
    in_other_files = [EXAMPLES[2], EXAMPLES[0], EXAMPLES[1], EXAMPLES[3]]
    assert write(tmp_path / "one").fingerprint == write(tmp_path / "two", in_other_files).fingerprint


@pytest.mark.parametrize(
    "examples",
    [
        [example(9), *EXAMPLES[1:]],
        [example(1, label=1), *EXAMPLES[1:]],
        [example(1, shape=(6, 4)), *EXAMPLES[1:]],
        [example(1, split="val"), *EXAMPLES[1:]],
        [EXAMPLES[1], EXAMPLES[0], *EXAMPLES[2:]],
    ],
    ids=["pixel", "label", "shape", "split", "order"],
)
def test_other_content_has_another_fingerprint(tmp_path: Path, examples: list[Example]) -> None:
    assert write(tmp_path / "one").fingerprint != write(tmp_path / "two", examples).fingerprint


def test_other_class_names_have_another_fingerprint(tmp_path: Path) -> None:
    renamed = write(tmp_path / "two", classes=("dog", "cat"))
    assert write(tmp_path / "one").fingerprint != renamed.fingerprint


SQUARE = Boxes(corners=np.array([[0, 0, 2, 2]]), labels=np.array([1]), crowd=np.array([False]))


@pytest.mark.parametrize(
    "change",
    [
        lambda: row_digest(b"other", boxes=SQUARE),
        lambda: row_digest(b"image"),
        lambda: row_digest(b"image", boxes=Boxes(corners=SQUARE.corners + 1, labels=SQUARE.labels, crowd=SQUARE.crowd)),
        lambda: row_digest(b"image", boxes=Boxes(corners=SQUARE.corners, labels=SQUARE.labels - 1, crowd=SQUARE.crowd)),
        lambda: row_digest(b"image", boxes=Boxes(corners=SQUARE.corners, labels=SQUARE.labels, crowd=~SQUARE.crowd)),
    ],
    ids=["image", "none", "corners", "labels", "crowd"],
)
def test_a_digest_changes_with_all_that_a_row_has(change: Callable[[], bytes]) -> None:
    assert change() != row_digest(b"image", boxes=SQUARE)


def test_a_mask_has_the_same_digest_however_its_pixels_lie() -> None:
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert row_digest(b"", mask=mask) == row_digest(b"", mask=np.asfortranarray(mask))
    assert row_digest(b"", mask=mask) != row_digest(b"", mask=mask.reshape(3, 2))


def test_a_source_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def breaking_off() -> Iterator[Example]:
        yield example(1)
        raise DataError("photo 2 is unreadable")

    with pytest.raises(DataError, match=r"photo 2"):
        write_dataset(tmp_path / "pets", breaking_off(), annotation="label", classes=CLASSES, source="tests")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([example(1), example(2, label=2)], "pets: example train/2 (split train): label 2 is outside the 2 classes."),
        ([example(1, shape=(4, 6, 2))], "the image must be (height, width) or (height, width, 3), got (4, 6, 2)."),
        ([example(1, shape=(0, 6))], "got (0, 6)."),
        ([], "tests: there is no image in it."),
        (
            [Example(name="a", split="train", image=np.zeros((2, 2)), label=0)],
            "the image's type must be uint8, got float64.",
        ),
        ([Example(name="a", split="train", image=b"nothing", label=0)], "the image is no image file"),
    ],
    ids=["label", "channels", "empty", "none", "type", "file"],
)
def test_an_example_that_does_not_fit_is_named(tmp_path: Path, examples: list[Example], message: str) -> None:
    with pytest.raises(DataError) as error:
        write(tmp_path / "pets", examples)
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(pets: Path) -> None:
    with pytest.raises(DataError, match=r"pets exists already. Delete it, or choose another folder"):
        write(pets)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"can't write the data set .*pets: Not a directory"):
        write(tmp_path / "file" / "pets")


def test_a_missing_data_set_says_how_to_get_one(tmp_path: Path) -> None:
    assert "trainyard data import digits" in problem_of(tmp_path / "digits")


def test_a_folder_without_a_manifest(pets: Path) -> None:
    (pets / "manifest.json").unlink()
    assert "is no data set: it has no manifest.json" in problem_of(pets)


def test_a_missing_file_is_named(pets: Path) -> None:
    (pets / "val-00000.parquet").unlink()
    assert "val-00000.parquet is missing" in problem_of(pets)


def test_a_machine_that_does_not_see_the_data_set_is_named(pets: Path) -> None:
    dataset = Dataset.open(pets)
    pets.rename(pets.with_name("elsewhere"))
    with pytest.raises(StorageError) as error:
        dataset.read_group(dataset.groups("val")[0], ["name"])
    assert str(error.value) == (
        f"{socket.gethostname()} does not see the data set {pets}. Put it there, or mount the storage that holds it."
    )


@pytest.mark.parametrize("tries", [2, 3])
def test_a_bucket_that_is_away_for_a_moment_is_asked_again(
    pets: Path, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def open_input(place: Location) -> pa.NativeFile:
        asked.append(place.name)
        if len(asked) < tries:
            raise DataError(f"can't reach {place}: no answer.")
        return pa.OSFile(str(pets / place.name))

    there = dataclasses.replace(Dataset.open(pets), location=Location.of("s3://lab/pets"))
    monkeypatch.setattr(location_module, "PAUSES", (0.01,))
    monkeypatch.setattr(Location, "open_input", open_input)
    if tries == 2:
        assert there.read_group(there.groups("val")[0], ["name"]).num_rows == 1
    else:
        with pytest.raises(StorageError, match=r"^can't reach s3://lab/pets/val-00000\.parquet: no answer\.$"):
            there.read_group(there.groups("val")[0], ["name"])
    assert asked == ["val-00000.parquet"] * 2


def test_a_truncated_file_is_found(pets: Path) -> None:
    file = pets / "train-00000.parquet"
    file.write_bytes(file.read_bytes()[:100])
    assert "train-00000.parquet can't be read" in problem_of(pets)


def test_fewer_rows_than_the_manifest_says(pets: Path) -> None:
    file = pets / "train-00000.parquet"
    pq.write_table(pq.read_table(file).slice(0, 2), file)
    assert "train-00000.parquet has 2 rows, its manifest says 3" in problem_of(pets)


def test_a_missing_column(pets: Path) -> None:
    file = pets / "train-00000.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["digest"]), file)
    assert "train-00000.parquet has no column digest" in problem_of(pets)


def test_rows_that_were_exchanged_are_found_by_their_digests(pets: Path) -> None:
    file = pets / "train-00000.parquet"
    pq.write_table(pq.read_table(file).take([1, 0, 2]), file)
    dataset = Dataset.open(pets)
    dataset.check_content("val")
    with pytest.raises(DataError, match="the content of split train isn't what was imported"):
        dataset.check_content("train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 1}, "format version 1, this trainyard reads version 2"),
        ({"classes": ["cat"]}, "split train counts 2 classes, not 1"),
        ({"image": None}, "is damaged: image"),
        ({"extra": 1}, "is damaged: extra"),
    ],
    ids=["version", "classes", "image", "extra"],
)
def test_a_manifest_that_is_not_ours(pets: Path, change: dict[str, object], message: str) -> None:
    file = pets / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert message in problem_of(pets)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_manifest_that_is_no_json_object(pets: Path, text: str) -> None:
    (pets / "manifest.json").write_text(text)
    assert "manifest.json is damaged" in problem_of(pets)


def test_a_manifest_cannot_point_outside_its_folder(pets: Path) -> None:
    file = pets / "manifest.json"
    file.write_text(file.read_text().replace("val-00000.parquet", "../val-00000.parquet"))
    assert "is damaged: splits.val.files.0" in problem_of(pets)
