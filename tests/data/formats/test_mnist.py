"""idx files."""

import gzip
import struct
from collections.abc import Mapping

import numpy as np
import pytest

from trainyard.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D}


def idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, CODES[values.dtype.str[1:]], values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def images(count: int, *shape: int) -> np.ndarray:
    shape = (count, *(shape or (4, 4)))
    return np.arange(np.prod(shape), dtype=np.uint32).astype("u1").reshape(shape)


def pair(prefix: str, count: int = 3, middle: str = "-{}-", images_end: str = "idx3-ubyte") -> Mapping[str, bytes]:
    labels_end = images_end.replace("3", "1")
    return {
        prefix + middle.format("images") + images_end: idx(images(count)),
        prefix + middle.format("labels") + labels_end: idx(np.arange(count, dtype="u1")),
    }


def test_train_and_test_are_read_packed_and_plain(lay, listing, splits, read) -> None:
    train = {f"{name}.gz": gzip.compress(content) for name, content in pair("train", 5).items()}
    place = lay(train | pair("t10k", 3))
    found = listing("mnist", place)
    assert splits(found) == {"train": 5, "test": 3}
    assert found.classes == ("0", "1", "2", "3", "4")
    assert [entry.label for entry in found.entries] == [0, 1, 2, 3, 4, 0, 1, 2]
    for name in ("train-images-idx3-ubyte.gz#2", "t10k-images-idx3-ubyte#2"):
        example = read("mnist", place, name)
        assert np.array_equal(example.image, images(3)[2])
        assert example.label == 2


@pytest.mark.parametrize(
    "files",
    [
        pair("train", middle="-{}."),
        pair("train", middle="_{}.", images_end="idx"),
        pair("MNIST/raw/train"),
        pair("emnist-letters-train"),
        pair("gzip/emnist-letters-train"),
    ],
    ids=lambda files: next(iter(files)),
)
def test_the_usual_spellings(files: Mapping, lay, listing, splits) -> None:
    assert splits(listing("mnist", lay(files))) == {"train": 3}


def test_a_name_without_a_split(lay, listing, splits) -> None:
    assert splits(listing("mnist", lay(pair("letters")))) == {None: 3}


def test_the_unpacked_one_of_two_files_is_read(lay, listing) -> None:
    found = listing("mnist", lay(pair("train") | {"train-images-idx3-ubyte.gz": b"damaged"}))
    assert found.entries[0].name == "train-images-idx3-ubyte#0"


def test_a_packed_file_is_known_by_its_content(lay, listing) -> None:
    packed = {name: gzip.compress(content) for name, content in pair("train").items()}
    assert len(listing("mnist", lay(packed)).entries) == 3


def test_labels_of_several_columns_have_the_class_in_the_first(lay, listing) -> None:
    labels = np.array([[7, 1, 2], [3, 4, 5]], dtype="i4")
    files = {"qmnist-train-images-idx3-ubyte": idx(images(2)), "qmnist-train-labels-idx2-int": idx(labels)}
    assert [entry.label for entry in listing("mnist", lay(files)).entries] == [7, 3]


def test_images_in_colour(lay, read) -> None:
    files = {"train-images-idx4-ubyte": idx(images(2, 4, 5, 3)), "train-labels-idx1-ubyte": idx(np.zeros(2, "u1"))}
    example = read("mnist", lay(files))
    assert np.array_equal(example.image, images(2, 4, 5, 3)[0])


def test_one_of_several_sets_is_asked_for(lay, listing) -> None:
    place = lay(pair("emnist-letters-train", 2) | pair("emnist-digits-train", 3))
    with pytest.raises(
        DataError, match=r"holds 2 sets of idx files: emnist-digits, emnist-letters. Name one: --subset digits"
    ):
        listing("mnist", place)
    assert len(listing("mnist", place, subset="letters").entries) == 2
    assert len(listing("mnist", place, subset="emnist-digits").entries) == 3
    with pytest.raises(DataError, match=r"the subset balanced is not there. There are: emnist-digits, emnist-letters."):
        listing("mnist", place, subset="balanced")


def test_sets_in_folders_of_their_own(lay, listing) -> None:
    place = lay(pair("MNIST/raw/train", 2) | pair("FashionMNIST/raw/train", 3))
    assert len(listing("mnist", place, subset="FashionMNIST").entries) == 3


def test_given_classes_name_every_label(lay, listing) -> None:
    place = lay(pair("train", 3))
    assert listing("mnist", place, classes=("shirt", "shoe", "bag")).classes == ("shirt", "shoe", "bag")
    with pytest.raises(DataError, match=r"labels go up to 2, but 2 classes were given. Name all 3, from label 0 on."):
        listing("mnist", place, classes=("shirt", "shoe"))


def test_images_without_labels(lay, listing) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte is there, but not its labels"):
        listing("mnist", lay({"train-images-idx3-ubyte": idx(images(2))}))


def test_counts_that_differ(lay, listing) -> None:
    files = {"train-images-idx3-ubyte": idx(images(2)), "train-labels-idx1-ubyte": idx(np.zeros(3, "u1"))}
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte has 2 images, train-labels-idx1-ubyte 3 labels. They belong"
    ):
        listing("mnist", lay(files))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(images(3))[:-5], r"it is truncated: it has 59 bytes, its shape \(3, 4, 4\) takes 64"),
        (idx(images(3)) + b"x", r"it is longer than it should be"),
        (idx(images(3))[:9], r"it is truncated: it ends in its header"),
        (b"\x89PNG1234", r"it is no idx file: it begins with 89 50 4e 47"),
        (b"", r"it is no idx file: it begins with nothing"),
        (gzip.compress(idx(images(3)))[:-9], r"the gzip file is truncated or damaged"),
        (idx(images(3).astype("f4")), r"pixels must be unsigned bytes \(idx type 0x08\), got float32"),
        (idx(images(3, 4, 4, 5)), r"images must be \(rows, height, width\) or .*, got \(3, 4, 4, 5\)"),
    ],
)
def test_damaged_images(content: bytes, message: str, lay, listing) -> None:
    with pytest.raises(DataError, match=rf"train-images-idx3-ubyte: {message}"):
        listing("mnist", lay({"train-images-idx3-ubyte": content, "train-labels-idx1-ubyte": idx(np.zeros(3, "u1"))}))


def test_labels_that_are_no_whole_numbers(lay, listing) -> None:
    files = {"train-images-idx3-ubyte": idx(images(2)), "train-labels-idx1-ubyte": idx(np.zeros(2, "f4"))}
    with pytest.raises(DataError, match=r"labels must be whole numbers, \(rows,\), got float32 \(2,\)"):
        listing("mnist", lay(files))


def test_labels_below_zero(lay, listing) -> None:
    files = {"train-images-idx3-ubyte": idx(images(2)), "train-labels-idx1-ubyte": idx(np.array([1, -1], "i1"))}
    with pytest.raises(DataError, match=r"labels must be >= 0, got -1"):
        listing("mnist", lay(files))
