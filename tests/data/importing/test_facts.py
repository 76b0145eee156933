"""The facts of a data set: exact, and the same whatever the files look like."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainyard.data.dataset import Dataset

RNG = np.random.default_rng(0)


def pictures(files: Any, encode: Callable[..., bytes], count: int = 12) -> list[np.ndarray]:
    """Random images of several sizes in train."""
    found = [RNG.integers(0, 256, (4 + number % 3, 6, 3), dtype=np.uint8) for number in range(count)]
    for number, pixels in enumerate(found):
        files.add(f"{number}.png", encode(pixels), split="train", label=number % 2)
    return found


def test_mean_and_deviation_are_those_of_all_pixels(
    files: Any, imports: Any, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.concatenate([image.reshape(-1, 3) for image in pictures(files, encode)]) / 255
    monkeypatch.setattr("trainyard.data.importing.planning.SHARD_ROWS", 5)
    facts = imports(files).splits["train"]
    assert facts.pixel_mean == pytest.approx(pixels.mean(axis=0), abs=1e-12)
    assert facts.pixel_std == pytest.approx(pixels.std(axis=0), abs=1e-12)


def test_the_size_of_files_and_row_groups_changes_nothing_else(
    files: Any, imports: Any, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(files, encode)
    whole = imports(files)
    monkeypatch.setattr("trainyard.data.importing.planning.SHARD_ROWS", 5)
    monkeypatch.setattr("trainyard.data.importing.shard.GROUP_ROWS", 2)
    imports.destination = imports.destination.with_name("other")
    cut = imports(files)
    assert [file.rows for file in cut.splits["train"].files] == [5, 5, 2]
    files_aside = {"splits": {"train": {"files": True}}}
    assert cut.model_dump(exclude=files_aside) == whole.model_dump(exclude=files_aside)


def test_files_are_cut_by_their_bytes_too(
    files: Any, imports: Any, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(files, encode)
    most = sum(entry.source_bytes for entry in files.entries) // 3
    monkeypatch.setattr("trainyard.data.importing.planning.SHARD_BYTES", most)
    assert len(imports(files).splits["train"].files) == 4


def test_grey_images_among_coloured_ones_count_for_each_channel(
    files: Any, imports: Any, encode: Callable[..., bytes]
) -> None:
    files.add("grey.png", encode(np.full((2, 2), 51, np.uint8)), split="train", label=0)
    files.add("red.png", encode(np.full((2, 2, 3), (255, 0, 0), np.uint8)), split="train", label=1)
    manifest = imports(files)
    assert manifest.image.channels == 3
    assert manifest.splits["train"].pixel_mean == pytest.approx((0.6, 0.1, 0.1))


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGBA", 3)])
def test_channels_follow_from_the_modes(
    files: Any, imports: Any, encode: Callable[..., bytes], mode: str, channels: int
) -> None:
    from PIL import Image

    files.add("a.png", encode(Image.new(mode, (3, 3))), split="train")
    assert imports(files).image.channels == channels


def test_sizes_are_the_least_and_the_largest_of_each_side(
    files: Any, imports: Any, encode: Callable[..., bytes]
) -> None:
    for name, size in {"a": (4, 9), "b": (7, 5)}.items():
        files.add(f"{name}.png", encode(np.zeros(size, np.uint8)), split="train")
    image = imports(files).image
    assert (image.smallest, image.largest, image.size) == ((4, 5), (7, 9), None)


def test_facts_of_boxes(files: Any, imports: Any, box: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.data.importing.planning.SHARD_ROWS", 1)
    files.annotation = "boxes"
    files.add("a.png", split="train", boxes=box([0, 0, 2, 1], [0, 0, 2, 4], labels=[0, 1]))
    files.add("b.png", split="train", boxes=box([0, 0, 2, 2], labels=[0]))
    facts = imports(files).splits["train"]
    assert (facts.class_images, facts.class_totals) == ((2, 1), (2, 1))
    assert facts.boxes.most == 2
    assert facts.boxes.widths == (2, 2, 2, 2, 2)
    assert facts.boxes.heights[2] == 2
    assert facts.boxes.ratios[1:4] == (0.75, 1, 1.5)


def test_the_digits(digits: Path) -> None:
    # Whoever changes this changes what all runs on the digits were trained on.
    fingerprint = "3f0758e37d07d3237f2aa9fa505797febd866e34b9de2c16d33827bfd02a37f2"
    assert Dataset.open(digits).manifest.fingerprint == fingerprint


def test_the_same_source_gives_the_same_fingerprint_and_another_one_another(
    files: Any, imports: Any, encode: Callable[..., bytes]
) -> None:
    pictures(files, encode)
    first = imports(files)
    imports.destination = imports.destination.with_name("again")
    assert imports(files).fingerprint == first.fingerprint
    files.add("0.png", encode(np.zeros((4, 6), np.uint8)), split="train")
    del files.entries[0]
    imports.destination = imports.destination.with_name("changed")
    assert imports(files).fingerprint != first.fingerprint
