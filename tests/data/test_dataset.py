"""A data set is written as a whole or not at all, and opened only if it is sound."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from trainyard.data.dataset import Dataset, write_dataset
from trainyard.data.decode import decode_split
from trainyard.data.manifest import Manifest
from trainyard.data.writer import Example
from trainyard.errors import DataError

CLASSES = ("cat", "dog")


def example(value: int, *, split: str = "train", shape: tuple[int, ...] = (4, 6), label: int = 0) -> Example:
    return Example(split=split, image=np.full(shape, value, np.uint8), label=label)


EXAMPLES = [example(1), example(2, label=1), example(3, split="val"), example(4)]


def write(path: Path, examples: list[Example] = EXAMPLES, classes: tuple[str, ...] = CLASSES) -> Manifest:
    return write_dataset(path, examples, classes=classes, source="tests")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    write(tmp_path / "pets")
    return tmp_path / "pets"


def problem_of(path: Path) -> str:
    with pytest.raises(DataError) as error:
        Dataset.open(path)
    return str(error.value)


def test_what_was_written_is_what_is_read(pets: Path) -> None:
    dataset = Dataset.open(pets)
    train = decode_split(dataset, "train")
    assert train["image"].shape == (3, 1, 4, 6)
    assert train["image"][:, 0, 0, 0].tolist() == [1, 2, 4]
    assert train["label"].tolist() == [0, 1, 0]


def test_the_manifest_counts_rows_and_classes(pets: Path) -> None:
    manifest = Dataset.open(pets).manifest
    assert manifest.classes == CLASSES
    assert manifest.splits["train"].rows == 3
    assert manifest.splits["train"].class_counts == (2, 1)
    assert (manifest.image.channels, manifest.image.height, manifest.image.width) == (1, 4, 6)


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


def test_a_large_split_is_spread_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write(tmp_path / "one")
    monkeypatch.setattr("trainyard.data.writer.ROWS_PER_FILE", 2)
    spread = write(tmp_path / "two")
    assert spread.splits["train"].files == ("train-00000.parquet", "train-00001.parquet")
    assert spread.fingerprint == whole.fingerprint
    assert decode_split(Dataset.open(tmp_path / "two"), "train")["label"].tolist() == [0, 1, 0]


def test_a_source_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def breaking_off() -> Iterator[Example]:
        yield example(1)
        raise DataError("photo 2 is unreadable")

    with pytest.raises(DataError, match=r"photo 2"):
        write_dataset(tmp_path / "pets", breaking_off(), classes=CLASSES, source="tests")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([example(1), example(2, label=2)], "tests, example 1 (split train): label 2 is not one of the 2 classes."),
        ([example(1, shape=(4, 6, 2))], "the image must be (height, width) or (height, width, 3), got (4, 6, 2)."),
        ([example(1, shape=(0, 6))], "got (0, 6, 1)."),
        ([example(1), example(1, shape=(4, 6, 3))], "grey and colour images are mixed."),
        ([], "tests: there is no image in it."),
        (
            [Example(split="train", image=np.zeros((2, 2)), label=0)],
            "the image's type must be uint8, got float64.",
        ),
    ],
    ids=["label", "channels", "empty", "mixed", "none", "type"],
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
    assert "no data set or a half-written one: no manifest.json" in problem_of(pets)


def test_a_missing_file_is_named(pets: Path) -> None:
    (pets / "val-00000.parquet").unlink()
    assert "val-00000.parquet is missing" in problem_of(pets)


def test_a_truncated_file_is_found(pets: Path) -> None:
    file = pets / "train-00000.parquet"
    file.write_bytes(file.read_bytes()[:100])
    assert "train-00000.parquet can't be read" in problem_of(pets)


def test_fewer_rows_than_the_manifest_says(pets: Path) -> None:
    file = pets / "train-00000.parquet"
    pq.write_table(pq.read_table(file).slice(0, 2), file)
    assert "split train has 2 rows, its manifest says 3" in problem_of(pets)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "format version 2, this trainyard reads version 1"),
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
