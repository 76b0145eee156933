"""The sets of the real-data folder, listed: what is in them is known exactly."""

import os
import tarfile
from collections import Counter
from pathlib import Path
from posixpath import dirname

import pytest

from trainyard.data.formats import open_source
from trainyard.data.formats.class_folders import folder_meanings, ordered
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions, MaskCoding

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not os.environ.get("TRAINYARD_REAL_DATA"), reason="TRAINYARD_REAL_DATA names no folder"),
]

TEN = tuple(map(str, range(10)))


@pytest.fixture
def real() -> Path:
    return Path(os.environ["TRAINYARD_REAL_DATA"])


@pytest.mark.parametrize("name", ["camvid", "mask_folder"])
def test_camvid(name: str, real: Path, listing, splits) -> None:
    found = listing(name, real / "camvid")
    assert splits(found) == {"train": 367, "val": 101, "test": 233}
    assert len(found.classes) == 11
    assert (found.classes[0], found.classes[-1]) == ("sky", "bicyclist")
    assert found.mask_coding == MaskCoding(values=tuple(range(11)), void=(11,))
    assert not found.problems


def test_mnist(real: Path, listing, splits) -> None:
    found = listing("mnist", real / "mnist")
    assert splits(found) == {"train": 60_000, "test": 10_000}
    assert found.classes == TEN
    # As the site of MNIST says.
    assert [entry.label for entry in found.entries[:5]] == [5, 0, 4, 1, 9]


def test_the_class_folders_of_cifar10(real: Path) -> None:
    # By the names in the archive: unpacking 60,000 files takes 25 s.
    with tarfile.open(real / "cifar10" / "cifar10_jpeg.tar.gz") as archive:
        folders = [dirname(member.name) for member in archive if member.isfile()]
    meanings = folder_meanings(set(folders))
    counts = Counter((meanings[folder].split, meanings[folder].name) for folder in folders)
    classes = ordered(meaning.name for meaning in meanings.values())
    assert classes[:3] == ("airplane", "automobile", "bird")
    assert counts == {(split, c): n for split, n in (("train", 5000), ("test", 1000)) for c in classes}


def test_an_npz_of_cifar10(real: Path, listing, splits) -> None:
    found = listing("npz", real / "cifar10" / "cifar10_train_first4000.npz")
    assert splits(found) == {"train": 4000}
    assert found.classes == TEN


def test_nuclei(real: Path, listing, splits) -> None:
    found = listing("mask_folder", real / "nuclei_binary")
    assert splits(found) == {"train": 234, "val": 50, "test": 50}
    assert found.classes == ("background", "foreground")
    assert found.mask_coding == MaskCoding(values=(0, 255), void=())


def test_blood_cells(real: Path, listing, splits) -> None:
    found = listing("pascal_voc", real / "bccd_detection")
    assert splits(found) == {"train": 205, "val": 87, "test": 72}
    counts = Counter(found.classes[label] for entry in found.entries for label in entry.boxes.labels)
    assert counts == {"RBC": 4155, "WBC": 372, "Platelets": 361}
    empty = [entry.name for entry in found.entries if (entry.boxes.corners[:, 2:] <= entry.boxes.corners[:, :2]).any()]
    assert empty == ["JPEGImages/BloodImage_00338.jpg", "JPEGImages/BloodImage_00343.jpg"]
    assert not found.problems


def test_vehicles(real: Path, listing) -> None:
    found = listing("image_folder", real / "vehicles")
    assert found.classes == ("bike", "car", "juggernaut", "minibus", "pickup", "truck")
    counts = Counter((entry.split, entry.label) for entry in found.entries)
    assert counts == {(split, c): n for split, n in (("train", 130), ("val", 20), ("test", 30)) for c in range(6)}


@pytest.mark.parametrize("place", ["photos", "photos/labels.csv"])
def test_photos(place: str, real: Path, listing, labels) -> None:
    found = listing("csv", real / place)
    assert len(found.entries) == 15
    assert len(found.classes) == 14
    assert labels(found)["chelsea.png"] == "tabby"
    assert not found.problems


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("camvid", "camvid"),
        ("mnist", "mnist"),
        ("npz", "cifar10"),
        ("mask_folder", "nuclei_binary"),
        ("pascal_voc", "bccd_detection"),
        ("image_folder", "vehicles"),
        ("csv", "photos"),
    ],
)
def test_the_format_is_found_by_itself(name: str, place: str, real: Path) -> None:
    source = open_source("auto", Location.of(real / place), ImportOptions())
    assert type(source) is type(open_source(name, Location.of(real / place), ImportOptions()))
