"""An import that was interrupted goes on where it stopped; a half-written data set is never taken for a whole one."""

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from trainyard.data.dataset import Dataset
from trainyard.data.formats import open_source
from trainyard.data.importing.destination import held
from trainyard.data.importing.workers import on_processes
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions
from trainyard.errors import DataError


@pytest.fixture
def six(files: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Six images, which make three files."""
    monkeypatch.setattr("trainyard.data.importing.planning.SHARD_ROWS", 2)
    for number in range(6):
        files.add(f"{number}.png", split="train", label=number % 2)
    return files


def stops_after(files: int) -> Callable[..., Iterator[Any]]:
    """Ctrl-C after so many files."""

    def run(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        yield from map(function, items[:files])
        raise KeyboardInterrupt

    return run


def test_finished_files_are_not_read_again(six: Any, imports: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(2))
    before = len(six.was_read)
    manifest = imports(six)
    probe = 1
    assert (before, len(six.was_read) - before) == (probe + 4, probe + 2)
    assert manifest.splits["train"].rows == 6


def test_the_result_is_that_of_an_import_in_one_go(six: Any, imports: Any) -> None:
    six.add("bad.png", b"nothing", split="train")
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(2))
    resumed = imports(six)
    problems = imports.report.problems
    imports.destination = imports.destination.with_name("whole")
    assert imports(six) == resumed
    assert imports.report.problems == problems
    assert not (imports.destination / "_import").exists()


def test_an_import_of_which_only_the_end_is_left_starts_no_process(six: Any, imports: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(3))
    assert imports(six, run=on_processes(2)).splits["train"].rows == 6


def test_progress_counts_what_was_finished_before(six: Any, imports: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(1))
    seen: list[tuple[int, int]] = []
    imports(six, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 6), (4, 6), (6, 6)]


def test_a_half_written_data_set_says_how_to_go_on(six: Any, imports: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(1))
    with pytest.raises(DataError, match=r"out is half-written: .* Repeat the import with the same source and options"):
        Dataset.open(imports.destination)


@pytest.mark.parametrize("lost", ["train-00000.parquet", "_import/train-00000.parquet.json"])
def test_a_file_that_was_lost_is_written_again(six: Any, imports: Any, lost: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(2))
    (imports.destination / lost).unlink()
    assert imports(six).splits["train"].rows == 6
    Dataset.open(imports.destination)


def test_damaged_facts_are_made_again(six: Any, imports: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(2))
    (imports.destination / "_import" / "train-00001.parquet.json").write_text("{")
    assert imports(six).splits["train"].rows == 6


def test_what_killed_processes_left_half_written_goes(six: Any, imports: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(1))
    (imports.destination / ".train-00001.parquet.partial-0123abcd").write_bytes(b"half")
    imports(six)
    assert sorted(path.name for path in imports.destination.iterdir()) == [
        "manifest.json",
        "report.json",
        *(f"train-0000{number}.parquet" for number in range(3)),
    ]


def test_another_source_over_a_half_done_import(six: Any, imports: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(1))
    six.add("more.png", split="train")
    with pytest.raises(DataError, match=r"out holds an import, unfinished or at work, of another source"):
        imports(six)


def test_a_source_that_changed_since(six: Any, imports: Any) -> None:
    """To content of the same size, by its time alone."""
    for entry in six.entries:
        (six.folder / "cat").mkdir(exist_ok=True)
        (six.folder / entry.name).rename(six.folder / "cat" / entry.name)
    source = open_source("image_folder", Location.of(six.folder), ImportOptions(classes=("cat", "dog")))
    with pytest.raises(KeyboardInterrupt):
        imports(source, run=stops_after(1))
    os.utime(six.folder / "cat" / "3.png", ns=(0, 0))
    with pytest.raises(DataError, match=r"or the source has changed since"):
        imports(source)


def test_files_that_nodes_of_a_cluster_wrote_elsewhere(six: Any, imports: Any) -> None:
    def elsewhere(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        yield from map(function, items)
        (imports.destination / "train-00001.parquet").unlink()

    with pytest.raises(DataError, match=r"write elsewhere: of 3 files 1 are not in .*out, such as train-00001.parquet"):
        imports(six, run=elsewhere)
    assert not (imports.destination / "manifest.json").exists()


def test_a_source_that_nodes_of_a_cluster_do_not_see(six: Any, imports: Any) -> None:
    def elsewhere(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        (six.folder / "3.png").rename(six.folder / "away")
        yield from map(function, items)
        (six.folder / "away").rename(six.folder / "3.png")

    six.place = Location.of(six.folder)
    with pytest.raises(DataError, match=r"3.png is there, but was not found .*Put the source on shared storage"):
        imports(six, run=elsewhere)


def test_a_data_set_is_not_overwritten(six: Any, imports: Any) -> None:
    imports(six)
    with pytest.raises(DataError, match=r"out exists already. Delete it, or choose another folder"):
        imports(six)


def test_a_folder_with_something_else_in_it(six: Any, imports: Any) -> None:
    imports.destination.mkdir()
    (imports.destination / "thesis.txt").touch()
    with pytest.raises(DataError, match=r"out is not empty: it holds thesis.txt"):
        imports(six)


def test_a_place_that_cannot_be_written(six: Any, imports: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    imports.destination = tmp_path / "file" / "out"
    with pytest.raises(DataError, match=r"can't write the data set .*out: Not a directory. Choose a folder that can"):
        imports(six)


def test_two_imports_at_a_time(six: Any, imports: Any) -> None:
    imports.destination.mkdir()
    with held(Location.of(imports.destination)), pytest.raises(DataError, match=r"another import is writing to .*out"):
        imports(six)
    imports(six)


def test_an_import_whose_place_was_taken_by_another_stops(six: Any, imports: Any) -> None:
    """As may happen in a bucket, where nothing is locked."""

    def overtaken(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        yield from map(function, items)
        (imports.destination / "_import" / "plan.json").write_text('{"hash": "of another"}')

    with pytest.raises(DataError, match="at work, of another source or with other options"):
        imports(six, run=overtaken)
    assert not (imports.destination / "manifest.json").exists()


def test_the_lock_goes_with_an_interrupted_import(six: Any, imports: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        imports(six, run=stops_after(1))
    imports(six)


def test_a_disk_that_is_full(six: Any, imports: Any) -> None:
    """Files above a limit are refused, as by a full disk; what was finished stays."""

    def fills_up(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        yield function(items[0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        yield function(items[1])

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(
            DataError, match=rf"can't write .*out: {os.strerror(errno.EFBIG)}. Repeat the import: it goes"
        ):
            imports(six, run=fills_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in imports.destination.glob("*train*")] == ["train-00000.parquet"]
    assert imports(six).splits["train"].rows == 6
