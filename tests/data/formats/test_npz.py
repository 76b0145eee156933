"""Numpy archives."""

import io

import numpy as np
import pytest

from trainyard.errors import DataError

PIXELS = np.arange(4 * 5 * 6 * 3, dtype=np.uint32).astype("u1").reshape(4, 5, 6, 3)
LABELS = np.array([0, 1, 2, 1])


def npz(compressed: bool = False, **arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_images_and_labels(compressed: bool, lay, listing, splits, read) -> None:
    place = lay({"all.npz": npz(compressed, images=PIXELS, labels=LABELS)})
    found = listing("npz", place)
    assert splits(found) == {None: 4}
    assert found.classes == ("0", "1", "2")
    example = read("npz", place / "all.npz", "all.npz/images#3")
    assert np.array_equal(example.image, PIXELS[3])
    assert example.label == 1


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "train_targets", "valid_x", "valid_y"),
    ],
)
def test_splits_by_the_names_of_arrays(names: tuple[str, ...], lay, listing, splits) -> None:
    arrays = dict(zip(names, (PIXELS, LABELS, PIXELS[:2], LABELS[:2]), strict=True))
    found = splits(listing("npz", lay({"a.npz": npz(**arrays)})))
    assert found == {"train": 4, "val" if "valid_x" in names else "test": 2}


def test_an_archive_for_each_split(lay, listing, splits) -> None:
    files = {f"{split}.npz": npz(x=PIXELS, y=LABELS) for split in ("train", "test")}
    assert splits(listing("npz", lay(files))) == {"train": 4, "test": 4}


def test_several_archives_that_are_no_splits(lay, listing) -> None:
    place = lay({f"{name}.npz": npz(x=PIXELS, y=LABELS) for name in ("a", "b")})
    with pytest.raises(DataError, match=r"there are several archives: a.npz, b.npz. Name one as the source: .*a.npz"):
        listing("npz", place)


@pytest.mark.parametrize(
    "images",
    [PIXELS.astype("f4"), PIXELS.astype("i8"), PIXELS.transpose(0, 3, 1, 2), np.asfortranarray(PIXELS)],
    ids=["whole floats", "integers", "channels first", "columns first"],
)
def test_images_in_other_forms(images: np.ndarray, lay, read) -> None:
    place = lay({"a.npz": npz(images=images, labels=LABELS)})
    example = read("npz", place, "a.npz/images#1")
    assert np.array_equal(example.image, PIXELS[1])
    assert example.image.dtype == np.uint8


def test_grey_images_with_an_axis_for_the_channel(lay, read) -> None:
    assert read("npz", lay({"a.npz": npz(images=PIXELS[..., :1], labels=LABELS)})).image.shape == (5, 6)


@pytest.mark.parametrize(
    "labels", [LABELS[:, None], np.eye(3)[LABELS], LABELS.astype("f4")], ids=["column", "one-hot", "float"]
)
def test_labels_in_other_forms(labels: np.ndarray, lay, listing) -> None:
    found = listing("npz", lay({"a.npz": npz(images=PIXELS, labels=labels)}))
    assert [entry.label for entry in found.entries] == LABELS.tolist()


def test_arrays_without_usual_names(lay, listing, splits) -> None:
    assert splits(listing("npz", lay({"a.npz": npz(arr_0=PIXELS, arr_1=LABELS)}))) == {None: 4}
    place = lay({"a.npz": npz(pictures=PIXELS, kinds=LABELS, extra=LABELS)})
    with pytest.raises(
        DataError, match=r"it isn't clear which arrays are images and labels. It has pictures \(4, 5, 6, 3\)"
    ):
        listing("npz", place)
    assert len(listing("npz", place, images="pictures", label_column="kinds").entries) == 4
    with pytest.raises(DataError, match=r"has no array photos. It has pictures"):
        listing("npz", place, images="photos")


def test_names_of_classes_in_the_archive(lay, listing) -> None:
    names = np.array(["cat", "dog", "emu"])
    assert listing("npz", lay({"a.npz": npz(images=PIXELS, labels=LABELS, classes=names)})).classes == (
        "cat",
        "dog",
        "emu",
    )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"images": PIXELS / 255, "labels": LABELS},
            r"array images: pixels must be whole numbers from 0 to 255, got f",
        ),
        (
            {"images": PIXELS.reshape(4, -1), "labels": LABELS},
            r"array images: images must be \(N, height, width\) or .*, got \(4, 90\)",
        ),
        (
            {"images": PIXELS, "labels": np.ones((4, 3))},
            r"array labels: labels must be one for each image, \(N,\), got \(4, 3\)",
        ),
        (
            {"images": PIXELS, "labels": np.array(["a", "b", "c", "d"])},
            r"array labels: labels must be whole numbers, got <U1",
        ),
        ({"images": PIXELS, "labels": LABELS[:2]}, r"images has 4 rows, but labels has 2"),
        ({"images": np.array([{}, {}], object), "labels": LABELS[:2]}, r"array images: .*[Oo]bject"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_that_are_none_of_images_and_labels(compressed: bool, arrays: dict, message: str, lay, listing) -> None:
    with pytest.raises(DataError, match=rf"a.npz.*{message}"):
        listing("npz", lay({"a.npz": npz(compressed, **arrays)}))


def test_a_truncated_and_a_damaged_archive(lay, listing) -> None:
    content = npz(images=PIXELS, labels=LABELS)
    with pytest.raises(DataError, match=r"can't read .*a.npz: it is no numpy archive, or a damaged one"):
        listing("npz", lay({"a.npz": content[:-40]}))
    place = content.index(PIXELS[2].tobytes())
    with pytest.raises(DataError, match=r"can't read .*a.npz: it is no numpy archive, or a damaged one \(Bad CRC"):
        listing("npz", lay({"a.npz": content[:place] + b"\xff\xff" + content[place + 2 :]}))
