"""Chunks follow from the data and the settings, and are decoded once on a machine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainyard.data import chunks as chunks_module
from trainyard.data.chunks import ChunkReader
from trainyard.data.dataset import Dataset
from trainyard.data.decode import Decoder, decode_split
from trainyard.data.disk_cache import CacheSettings, DiskCache
from trainyard.data.local import read_here, read_parts
from trainyard.data.shapes import DecodeSettings
from trainyard.data.source import Example
from trainyard.data.writer import write_dataset
from trainyard.errors import DataError
from trainyard.spec.training import DataSettings

ROWS = 1200


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., bytes]) -> Dataset:
    """Small PNG files: three row groups."""
    images = np.random.default_rng(0).integers(0, 256, (ROWS, 4, 4), dtype=np.uint8)
    path = tmp_path_factory.mktemp("data") / "pets"
    examples = [
        Example(name=f"{row}", split="train" if row < ROWS - 9 else "val", image=encode(image), label=row % 2)
        for row, image in enumerate(images)
    ]
    write_dataset(path, examples, annotation="label", classes=("cat", "dog"), source="tests")
    return Dataset.open(path)


def reader(dataset: Dataset, folder: Path) -> ChunkReader:
    return ChunkReader(dataset, "train", DecodeSettings(), CacheSettings(folder=str(folder)))


def test_a_chunk_has_no_more_rows_than_it_may(pets: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(reader(pets, tmp_path).chunks()) == 1
    monkeypatch.setattr(chunks_module, "ENCODED_ROWS", 1100)
    assert [sum(group.rows for group in chunk) for chunk in reader(pets, tmp_path).chunks()] == [1024, 167]
    monkeypatch.setattr(chunks_module, "ENCODED_BYTES", 1)
    assert [sum(group.rows for group in chunk) for chunk in reader(pets, tmp_path).chunks()] == [512, 512, 167]


def test_the_second_reading_decodes_nothing(pets: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (chunk,) = reader(pets, tmp_path).chunks()
    decoded = reader(pets, tmp_path).read(chunk)
    monkeypatch.setattr(Decoder, "groups", None)
    again = reader(pets, tmp_path).read(chunk)
    assert all(np.array_equal(again[name], decoded[name]) for name in decoded)


def test_pixels_that_only_need_copying_are_not_kept(digits: Path, tmp_path: Path) -> None:
    plain = reader(Dataset.open(digits), tmp_path)
    plain.read(plain.chunks()[0])
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_here_is_the_whole_split(pets: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_module, "ENCODED_ROWS", 600)
    data = read_here(pets, DataSettings(path=pets.path))
    assert (data.train.rows, data.evaluate.rows) == (ROWS - 9, 9)
    whole = decode_split(pets, "train")
    taken = data.train.first(ROWS)
    assert all(np.array_equal(taken[name], whole[name]) for name in whole)
    assert data.train.classes().classes.tolist() == whole["label"].tolist()


def test_one_split_for_both_is_read_once(pets: Dataset) -> None:
    data = read_here(pets, DataSettings(path=pets.path, train_split="val"))
    assert data.train is data.evaluate


@pytest.mark.parametrize(("free", "rows"), [(2**30, [1191]), (0, [512, 512, 167])], ids=["fits", "does not fit"])
def test_to_go_through_once_a_split_comes_in_one_part_if_it_fits_the_memory(
    free: int, rows: list[int], pets: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks_module, "ENCODED_ROWS", 600)

    parts = list(read_parts(pets, DataSettings(path=pets.path, evaluate_split="train"), free=free))

    assert [part.rows for part in parts] == rows
    whole = decode_split(pets, "train")
    for name, column in whole.items():
        assert np.array_equal(np.concatenate([part.take(np.arange(part.rows))[name] for part in parts]), column)


def test_content_that_was_changed_is_refused_even_if_it_is_cached(pets: Dataset, tmp_path: Path) -> None:
    settings = DataSettings(path=pets.path, train_split="val")
    read_here(pets, settings)
    changed = pets.manifest.splits["val"].model_copy(update={"fingerprint": "0" * 64})
    manifest = pets.manifest.model_copy(update={"splits": {**pets.manifest.splits, "val": changed}})
    other = Dataset(location=pets.location, manifest=manifest, _groups=pets._groups, _footers=pets._footers)
    with pytest.raises(DataError, match=r"the content of split val isn't what was imported"):
        read_here(other, settings)


def test_entries_say_what_they_came_from(pets: Dataset, tmp_path: Path) -> None:
    pieces = reader(pets, tmp_path)
    pieces.read(pieces.chunks()[0])
    (entry,) = DiskCache(CacheSettings(folder=str(tmp_path))).entries()
    assert (entry.data, entry.split) == (pets.path, "train")
