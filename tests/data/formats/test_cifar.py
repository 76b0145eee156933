"""CIFAR-10 and CIFAR-100."""

import os
import pickle
from typing import Any

import numpy as np
import pytest

from trainyard.data.formats.restricted_pickle import load_pickle
from trainyard.errors import DataError, UsageError

PIXELS = np.arange(2 * 3072, dtype=np.uint32).astype("u1").reshape(2, 3072)
NAMES = [b"plane", b"car", b"bird"]


def python10(folder: str = "cifar-10-batches-py") -> dict[str, bytes]:
    batch = pickle.dumps({b"data": PIXELS, b"labels": [2, 0], b"filenames": [b"a.png", b"b.png"]})
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return {f"{folder}/{name}": batch for name in names} | {
        f"{folder}/batches.meta": pickle.dumps({b"label_names": NAMES})
    }


def python100() -> dict[str, bytes]:
    batch = pickle.dumps({"data": PIXELS, "fine_labels": [1, 0], "coarse_labels": [0, 1]}, protocol=2)
    meta = pickle.dumps({"fine_label_names": ["apple", "fish"], "coarse_label_names": ["fruit", "animal"]}, protocol=2)
    return {"cifar-100-python/train": batch, "cifar-100-python/test": batch, "cifar-100-python/meta": meta}


@pytest.mark.parametrize("inside", [False, True])
def test_the_python_batches_from_their_folder_or_above(inside: bool, lay, listing, splits, read) -> None:
    place = lay(python10())
    place = place / "cifar-10-batches-py" if inside else place
    found = listing("cifar10", place)
    assert splits(found) == {"train": 10, "test": 2}
    assert found.classes == ("plane", "car", "bird")
    example = read("cifar10", place)
    assert example.label == 2
    assert np.array_equal(example.image, PIXELS[0].reshape(3, 32, 32).transpose(1, 2, 0))


def test_the_binary_batches(lay, listing, splits, read) -> None:
    batch = b"".join(bytes([label]) + row.tobytes() for label, row in zip((2, 0), PIXELS, strict=True))
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    place = lay(
        {f"cifar-10-batches-bin/{n}": batch for n in names}
        | {"cifar-10-batches-bin/batches.meta.txt": "plane\ncar\nbird\n\n"}
    )
    found = listing("cifar10", place)
    assert splits(found) == {"train": 10, "test": 2}
    assert found.classes == ("plane", "car", "bird")
    assert np.array_equal(read("cifar10", place).image, PIXELS[0].reshape(3, 32, 32).transpose(1, 2, 0))


def test_a_batch_is_missing(lay, listing) -> None:
    files = python10()
    del files["cifar-10-batches-py/data_batch_3"]
    with pytest.raises(
        DataError, match=r"train needs data_batch_1, .*, found only data_batch_1, data_batch_2, data_batch_4"
    ):
        listing("cifar10", lay(files))


def test_cifar100_has_fine_labels_unless_coarse_ones_are_asked_for(lay, listing, splits) -> None:
    place = lay(python100())
    found = listing("cifar100", place)
    assert splits(found) == {"train": 2, "test": 2}
    assert found.classes == ("apple", "fish")
    assert [entry.label for entry in found.entries] == [1, 0, 1, 0]
    coarse = listing("cifar100", place, label_column="coarse")
    assert coarse.classes == ("fruit", "animal")
    assert [entry.label for entry in coarse.entries] == [0, 1, 0, 1]
    with pytest.raises(UsageError, match=r"--label-column of cifar100 must be fine or coarse, got colour."):
        listing("cifar100", place, label_column="colour")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({b"data": PIXELS, b"labels": [1, 2]})[:-30], r"pickle data was truncated"),
        (pickle.dumps([1, 2]), r"it holds no dictionary with data and labels"),
        (pickle.dumps({b"data": PIXELS}), r"it has no labels, only data"),
        (pickle.dumps({b"data": PIXELS, b"labels": [1]}), r"it has 2 images and labels int64 \(1,\)"),
        (
            pickle.dumps({b"data": PIXELS[:, :9], b"labels": [1, 2]}),
            r"images must be uint8 \(rows, 3072\), got uint8 \(2, 9\)",
        ),
        (pickle.dumps({b"data": PIXELS, b"labels": os.system}), r"the pickle asks for posix.system, .*it is refused"),
    ],
)
def test_damaged_batches_are_named(content: bytes, message: str, lay, listing) -> None:
    with pytest.raises(DataError, match=rf"can't read .*data_batch_2: {message}"):
        listing("cifar10", lay(python10() | {"cifar-10-batches-py/data_batch_2": content}))


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("exit 3",)


class Sneaky:
    def __reduce__(self) -> Any:
        return getattr, (np.ndarray, "dump")


@pytest.mark.parametrize("value", [Hostile(), Sneaky(), np.array([Hostile()], dtype=object), {"labels": [Hostile()]}])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_hostile_pickle_is_refused(value: Any, protocol: int) -> None:
    with pytest.raises(ValueError, match=r"it is refused|only numbers and text are read"):
        load_pickle(pickle.dumps(value, protocol=protocol))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="u1").reshape(2, 3),
        np.arange(6, dtype=">i4"),
        np.asfortranarray(np.eye(3)),
        np.array(["a", "bc"]),
    ],
    ids=["bytes", "big-endian", "columns", "text"],
)
def test_arrays_come_out_as_they_went_in(array: np.ndarray, protocol: int) -> None:
    loaded = np.asarray(load_pickle(pickle.dumps({"a": array, "n": np.int64(3)}, protocol=protocol))["a"])
    assert np.array_equal(loaded, array)
    assert loaded.dtype == array.dtype


def test_text_of_python_2_comes_as_bytes() -> None:
    assert load_pickle(b"(dp0\nS'labels'\np1\n(lp2\nI3\nas.") == {b"labels": [3]}
