"""Imports on several processes: one that dies, Ctrl-C, a kill, and the same result as in one process.

One program goes through all of it, as each start costs seconds; the tests look at what it left.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainyard.data.formats import open_source
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions

IMAGES = 40
ROWS_PER_FILE = 2

PROGRAM = f"""
import multiprocessing, os, signal, sys, time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from trainyard.data.formats import open_source
from trainyard.data.importing import planning
from trainyard.data.importing.run import import_source
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions
from trainyard.data.importing.workers import on_processes
from trainyard.errors import DataError

@dataclass
class Slow:
    source: Any
    def listing(self):
        return self.source.listing()
    def read(self, entry):
        time.sleep(0.05)
        return self.source.read(entry)

def kill(rows, number, target):
    return lambda done, total: os.kill(target, number) if done >= rows else None

def die(item):
    os.kill(os.getpid(), signal.SIGKILL)

def run(on_progress):
    source = Slow(open_source("image_folder", Location.of(sys.argv[1]), ImportOptions()))
    import_source(
        source, Location.of(sys.argv[2]), format_name="image_folder", run=on_processes(2), on_progress=on_progress
    )

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    planning.SHARD_ROWS = {ROWS_PER_FILE}
    try:
        list(on_processes(2)(die, [1, 2, 3]))
    except DataError as error:
        print(error)
    try:
        run(kill(4, signal.SIGINT, -os.getpid()))  # to the whole process group, as Ctrl-C does
    except KeyboardInterrupt:
        print(len(list(Path(sys.argv[2]).glob("*.parquet"))), multiprocessing.active_children(), flush=True)
    run(kill(20, signal.SIGKILL, os.getpid()))
"""


@dataclass(frozen=True, kw_only=True)
class Killed:
    """What the program left. group: of its processes."""

    group: int
    printed: list[str]
    errors: str
    folder: Path
    destination: Path

    @property
    def finished(self) -> int:
        return len(list((self.destination / "_import").glob("*.parquet.json")))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., bytes]) -> Killed:
    here = tmp_path_factory.mktemp("processes")
    for number in range(IMAGES):
        file = here / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(np.full((4, 6), number, np.uint8)))
    (here / "program.py").write_text(PROGRAM)
    program = subprocess.Popen(
        [sys.executable, here / "program.py", here / "photos", here / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    printed, errors = program.communicate(timeout=120)
    assert program.returncode == -signal.SIGKILL, errors
    return Killed(
        group=program.pid,
        printed=printed.splitlines(),
        errors=errors,
        folder=here / "photos",
        destination=here / "out",
    )


class Counted:
    """A folder of images, and how many were read."""

    def __init__(self, folder: Path) -> None:
        self._source = open_source("image_folder", Location.of(folder), ImportOptions())
        self.reads = 0

    def listing(self) -> Any:
        return self._source.listing()

    def read(self, entry: Any) -> Any:
        self.reads += 1
        return self._source.read(entry)


def test_a_process_that_dies_is_an_error_with_a_way_out(killed: Killed) -> None:
    assert killed.printed[0].startswith("a process of the import was killed, perhaps for want of memory. Repeat the")


def test_ctrl_c_ends_all_processes_quietly_and_finished_files_stay(killed: Killed) -> None:
    finished, _, processes = killed.printed[1].partition(" ")
    assert int(finished) >= 2
    assert processes == "[]"
    assert "Traceback" not in killed.errors


def test_a_killed_import_says_nothing_of_what_it_left_in_memory(killed: Killed) -> None:
    assert "leaked" not in killed.errors


def test_no_process_outlives_a_killed_import(killed: Killed) -> None:
    deadline = time.monotonic() + 5
    while _is_alive(killed.group):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_import_goes_on_and_ends_as_one_in_one_go(
    killed: Killed, imports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard.data.importing.planning.SHARD_ROWS", ROWS_PER_FILE)
    settings = {"format_name": "image_folder", "splits": None}
    finished, source, probe = killed.finished, Counted(killed.folder), 1
    whole = imports(Counted(killed.folder), **settings)
    imports.destination = killed.destination
    assert imports(source, **settings) == whole
    assert finished >= 10
    assert source.reads == probe + IMAGES - ROWS_PER_FILE * finished
