"""Objects are told apart from the classes of pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from trainyard.data.dataset import Dataset
from trainyard.data.decode import decode_split
from trainyard.data.disk_cache import entry_name
from trainyard.data.objects import object_map
from trainyard.data.shapes import DecodeSettings
from trainyard.data.source import Example
from trainyard.data.writer import write_dataset

V = 255


def mask(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.uint8)


def test_all_foreground_is_one_object_and_void_stays_void() -> None:
    given = mask([0, 1, 2], [V, 0, 3])
    assert object_map(given, "mask").tolist() == [[0, 1, 1], [V, 0, 1]]


def test_parts_that_touch_at_a_corner_are_one_object_and_the_larger_ones_come_first() -> None:
    given = mask(
        [1, 0, 0, 0, 1],
        [0, 0, 1, 0, 1],
        [0, 1, 0, 0, 1],
        [1, 0, 0, 0, 1],
    )
    assert object_map(given, "component").tolist() == [
        [3, 0, 0, 0, 1],
        [0, 0, 2, 0, 1],
        [0, 2, 0, 0, 1],
        [2, 0, 0, 0, 1],
    ]


def test_of_equals_the_one_that_begins_further_up_or_left_comes_first() -> None:
    given = mask([0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1])
    assert object_map(given, "component").tolist() == [[0, 0, 1, 0], [2, 0, 0, 0], [0, 0, 0, 3]]


def test_neighbours_of_other_classes_are_other_objects_and_void_parts_what_it_divides() -> None:
    given = mask([1, 1, 2], [1, 1, 2], [V, V, V], [1, 0, 0])
    assert object_map(given, "component").tolist() == [[1, 1, 2], [1, 1, 2], [V, V, V], [3, 0, 0]]


def test_an_image_without_an_object_stays_background() -> None:
    for per in ("mask", "component"):
        assert object_map(mask([0, V], [0, 0]), per).tolist() == [[0, V], [0, 0]]


def test_of_too_many_objects_the_smallest_become_background() -> None:
    given = np.zeros((40, 40), np.uint8)
    given[::2, ::2] = 1  # 400 of one pixel
    given[38, :3] = 1  # one of three
    found = object_map(given, "component")
    assert found[38, :3].tolist() == [1, 1, 1]
    assert sorted(set(found.flat)) == list(range(255))
    assert np.count_nonzero(found) == 3 + 253


def test_numbers_are_those_of_scipys_components_by_falling_area() -> None:
    random = np.random.default_rng(0)
    given = ndimage.zoom(random.integers(0, 3, (12, 12)), 4, order=0).astype(np.uint8)
    found = object_map(given, "component")
    expected = []
    for one in (1, 2):
        parts, count = ndimage.label(given == one, np.ones((3, 3)))
        expected += [parts == number for number in range(1, count + 1)]
    expected.sort(key=lambda part: (-part.sum(), np.flatnonzero(part)[0]))
    assert found.max() == len(expected) > 5
    for number, part in enumerate(expected, start=1):
        assert np.array_equal(found == number, part)


def test_they_are_told_apart_in_the_size_that_the_job_asks_for(tmp_path: Path) -> None:
    """Two objects, a pixel apart, which is lost when the image is halved."""
    given = np.zeros((8, 8), np.uint8)
    given[2:6, 0:2] = given[2:6, 3:8] = 1
    example = Example(name="a", split="train", image=np.zeros((8, 8), np.uint8), mask=given)
    write_dataset(tmp_path / "data", [example], annotation="mask", classes=("none", "cell"), source="tests")
    dataset = Dataset.open(tmp_path / "data")
    for size in ((8, 8), (4, 4)):
        decoded = decode_split(dataset, "train", DecodeSettings(image_size=size, objects="component"))["mask"][0]
        resized = np.asarray(Image.fromarray(given).resize(size[::-1], Image.Resampling.NEAREST))
        assert np.array_equal(decoded, object_map(resized, "component"))
    assert np.array_equal(decode_split(dataset, "train", DecodeSettings())["mask"][0], given)


@pytest.mark.parametrize("objects", ["mask", "component"])
def test_what_is_decoded_otherwise_has_another_name_on_the_disk(objects: str) -> None:
    plain, told_apart = DecodeSettings(), DecodeSettings(objects=objects)  # type: ignore[arg-type]
    assert entry_name("a", plain, 1) != entry_name("a", told_apart, 1)
