"""Decoded chunks on the disk: read back exactly, never trusted when damaged, never in the way."""

import logging
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from trainyard.data import disk_cache
from trainyard.data.columns import Columns
from trainyard.data.disk_cache import CacheSettings, DiskCache, entry_name
from trainyard.data.shapes import DecodeSettings

COLUMNS: Columns = {
    "image": np.random.default_rng(0).integers(0, 256, (7, 3, 5, 5), dtype=np.uint8),
    "label": np.arange(7),
    "box_crowd": np.array([[True, False]] * 7),
}
SIZE = sum(column.nbytes for column in COLUMNS.values())


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def cache_in(folder: Path, limit: int = 1 << 30) -> DiskCache:
    return DiskCache(CacheSettings(folder=str(folder), limit=limit))


def write(cache: DiskCache, entry: str, chunk: str = "0-7") -> None:
    cache.write(entry, chunk, COLUMNS, data="data/pets", split="train", entry_bytes=SIZE)


def file_of(folder: Path, entry: str) -> Path:
    return folder / "decoded" / entry / "0-7.columns"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "_said", set())


def test_a_chunk_is_read_back_as_it_was(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    assert cache.read("entry", "0-7") is None
    write(cache, "entry")
    columns = cache.read("entry", "0-7")
    assert columns is not None
    for name, column in COLUMNS.items():
        assert columns[name].dtype == column.dtype
        assert np.array_equal(columns[name], column)
        assert not columns[name].flags.writeable


@pytest.mark.parametrize("at", [3, 40, 200, -1], ids=["beginning", "header", "pixels", "end"])
def test_a_damaged_chunk_is_noticed(tmp_path: Path, at: int, caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_in(tmp_path)
    write(cache, "entry")
    content = bytearray(file_of(tmp_path, "entry").read_bytes())
    content[at] ^= 1
    file_of(tmp_path, "entry").write_bytes(content)
    assert cache.read("entry", "0-7") is None
    assert "is damaged and decoded again" in caplog.text


@pytest.mark.parametrize("size", [0, 10, 100, 400])
def test_a_truncated_chunk_is_noticed(tmp_path: Path, size: int) -> None:
    cache = cache_in(tmp_path)
    write(cache, "entry")
    os.truncate(file_of(tmp_path, "entry"), size)
    assert cache.read("entry", "0-7") is None
    write(cache, "entry")
    assert cache.read("entry", "0-7") is not None


def test_what_was_used_least_recently_makes_room(tmp_path: Path) -> None:
    write(cache_in(tmp_path), "one")
    cache = cache_in(tmp_path, limit=int(3.5 * file_of(tmp_path, "one").stat().st_size))
    for age, entry in enumerate(["one", "two", "three"]):
        write(cache, entry)
        os.utime(tmp_path / "decoded" / entry, (age, age))
    assert cache.read("one", "0-7") is not None  # now the last used
    write(cache, "four")
    assert {entry.name for entry in cache.entries()} == {"one", "three", "four"}


def test_what_is_larger_than_the_limit_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_in(tmp_path, limit=SIZE - 1)
    write(cache, "entry")
    assert cache.read("entry", "0-7") is None
    assert "decoded data isn't cached on the disk" in caplog.text


def test_half_of_the_free_disk_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 2 * SIZE - 2))
    cache = cache_in(tmp_path)
    write(cache, "entry")
    assert cache.read("entry", "0-7") is None


def test_a_limit_of_0_switches_it_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(cache_in(tmp_path, limit=0), "entry")
    assert list(tmp_path.iterdir()) == []
    assert caplog.text == ""
    write(cache_in(tmp_path), "entry")
    assert cache_in(tmp_path).read("entry", "0-7") is not None
    assert cache_in(tmp_path, limit=0).read("entry", "0-7") is None


def test_what_can_be_read_but_not_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(cache_in(tmp_path), "entry")

    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.utime", refuse)
    assert cache_in(tmp_path).read("entry", "0-7") is not None


def test_a_place_that_cannot_be_written_is_said_once_and_harmless(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    for _ in range(2):
        cache = cache_in(tmp_path / "file")
        write(cache, "entry")
        write(cache, "entry", "7-14")
        assert cache.read("entry", "0-7") is None
        assert cache.entries() == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_full_disk_leaves_no_half_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, columns: Columns) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk_cache, "_write", full)
    cache = cache_in(tmp_path)
    write(cache, "entry")
    assert [path.name for path in (tmp_path / "decoded" / "entry").iterdir()] == ["about.json"]


def test_writing_the_same_chunk_twice_at_a_time_is_harmless(tmp_path: Path) -> None:
    one, other = cache_in(tmp_path), cache_in(tmp_path)
    write(one, "entry")
    read = one.read("entry", "0-7")
    write(other, "entry")
    assert read is not None
    assert np.array_equal(read["image"], COLUMNS["image"])
    assert one.read("entry", "0-7") is not None


def test_an_entry_that_is_deleted_stays_readable_for_who_reads_it(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    write(cache, "entry")
    read = cache.read("entry", "0-7")
    cache.clear()
    assert read is not None
    assert np.array_equal(read["image"], COLUMNS["image"])


def test_entries_are_listed_and_cleared(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    write(cache, "entry")
    (entry,) = cache.entries()
    assert (entry.name, entry.data, entry.split) == ("entry", "data/pets", "train")
    assert entry.nbytes == sum(file.stat().st_size for file in (tmp_path / "decoded" / "entry").iterdir())
    assert cache.clear() == entry.nbytes
    assert cache.entries() == []


def test_what_a_killed_process_left_behind_goes(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    write(cache, "entry")
    left = tmp_path / "decoded" / "entry" / ".0123"
    left.touch()
    os.utime(left, (0, 0))
    cache.entries()
    assert not left.exists()


def test_other_settings_are_another_entry() -> None:
    names = {
        entry_name("a", DecodeSettings(), 1),
        entry_name("b", DecodeSettings(), 1),
        entry_name("a", DecodeSettings(), 2),
        entry_name("a", DecodeSettings(image_size=(8, 8)), 1),
        entry_name("a", DecodeSettings(image_size=(8, 8), resize="pad"), 1),
        entry_name("a", DecodeSettings(channels=1), 1),
    }
    assert len(names) == 6


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"TRAINYARD_CACHE": "/a"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/trainyard"),
        ({"HOME": "/c"}, "/c/.cache/trainyard"),
        ({"TRAINYARD_CACHE": "~/d", "HOME": "/c"}, "/c/d"),
    ],
)
def test_where_it_is(variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAINYARD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert CacheSettings.here().resolved() == Path(folder)


@pytest.mark.parametrize(
    ("stated", "limit"),
    [("", 20 << 30), ("1.5", 3 << 29), ("0", 0), ("-1", 0), ("x", 20 << 30), ("inf", 1 << 60), ("nan", 20 << 30)],
)
def test_how_large_it_gets(stated: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_CACHE_GIB", stated)
    assert CacheSettings.here().limit == limit
