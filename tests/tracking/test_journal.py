import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trainyard.errors import RunError, UsageError
from trainyard.tracking.events import SweepEnded, TrialEpoch
from trainyard.tracking.journal import Journal, JournalReader

HOLD = """
import sys, time
from pathlib import Path
from trainyard.tracking.journal import Journal
journal = Journal(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""
FILL = """
import resource, sys
from pathlib import Path
from trainyard.errors import RunError
from trainyard.tracking.events import TrialEpoch
from trainyard.tracking.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # the disk, to this process, is full after 1,000 bytes
with Journal(Path(sys.argv[1])) as journal:
    try:
        for epoch in range(100):
            journal.append(TrialEpoch(trial=0, epoch=epoch, metrics={"loss": 0.5}))
    except RunError as error:
        print(error)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep" / "journal.jsonl"


def epoch(number: int, trial: int = 0) -> TrialEpoch:
    return TrialEpoch(trial=trial, epoch=number, metrics={"loss": 1 / number}, time=float(number))


def test_events_are_read_in_the_order_they_came(path: Path) -> None:
    events = [epoch(number) for number in range(1, 50)]
    with Journal(path) as journal:
        for event in events:
            journal.append(event)
    assert Journal.read(path) == events


def test_a_journal_goes_on_where_it_ended(path: Path) -> None:
    for number in (1, 2):
        with Journal(path) as journal:
            journal.append(epoch(number))
    assert Journal.read(path) == [epoch(1), epoch(2)]


@pytest.mark.parametrize("torn", [b'{"event":"trial_ep', b"\0" * 5000, b'{"event":"sweep_ended","state":"finished"}'])
def test_a_torn_last_line_is_cut_off(path: Path, torn: bytes) -> None:
    with Journal(path) as journal:
        journal.append(epoch(1))
    with path.open("ab") as file:
        file.write(torn)
    assert Journal.read(path) == [epoch(1)]
    with Journal(path) as journal:
        assert journal.events == 1
        journal.append(epoch(2))
    assert Journal.read(path) == [epoch(1), epoch(2)]


def test_a_damaged_line_is_named(path: Path) -> None:
    with Journal(path) as journal:
        for number in (1, 2, 3):
            journal.append(epoch(number))
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[1][:-9] + b"#", *lines[2:]]))
    with pytest.raises(RunError, match=r"journal\.jsonl:2: this line of the journal is damaged"):
        Journal.read(path)


def test_a_folder_without_a_journal_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No such file or directory\. Is this a sweep's folder?"):
        Journal.read(tmp_path / "journal.jsonl")


def test_a_second_writer_is_told_who_writes(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=f"process {holder.pid} on .* is writing this sweep"):
            Journal(path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout and holder.stdout.close()
    with Journal(path) as journal:  # whoever is dead holds nothing
        journal.append(epoch(1))


def test_a_second_writer_in_the_same_process_is_refused_too(path: Path) -> None:
    with Journal(path), pytest.raises(UsageError, match=f"process {os.getpid()} on"):
        Journal(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file, where a folder should be")
    with pytest.raises(UsageError, match=r"results/s/journal\.jsonl: cannot be written: Not a directory\. Choose"):
        Journal(tmp_path / "results" / "s" / "journal.jsonl")


def test_a_full_disk_keeps_what_is_whole(path: Path) -> None:
    answer = subprocess.run([sys.executable, "-c", FILL, path], capture_output=True, text=True, check=True)
    assert "journal.jsonl: cannot be written: File too large. Make room there, then resume the sweep" in answer.stdout
    content = path.read_bytes()
    assert content.endswith(b"}\n")
    assert len(content) < 1000
    assert len(Journal.read(path)) == content.count(b"\n") > 5


def test_many_threads_write_whole_lines(path: Path) -> None:
    with Journal(path) as journal:

        def write(trial: int) -> None:
            for number in range(1, 101):
                journal.append(epoch(number, trial))

        threads = [threading.Thread(target=write, args=(trial,)) for trial in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert journal.events == 400
    assert len(Journal.read(path)) == 400


def test_a_reader_follows_the_writer(path: Path) -> None:
    with Journal(path) as journal, JournalReader(path) as reader:
        assert reader.next(10) == []
        journal.append(epoch(1))
        journal.append(epoch(2))
        assert reader.next(1) == [epoch(1)]
        journal.append(SweepEnded(state="finished", time=0.0))
        assert reader.next(10) == [epoch(2)]
        assert reader.next(10) == [SweepEnded(state="finished", time=0.0)]


def test_lines_longer_than_a_chunk_are_read(path: Path) -> None:
    event = TrialEpoch(trial=0, epoch=1, metrics={f"class/{index:06}": index / 7 for index in range(100_000)})
    with Journal(path) as journal:
        journal.append(event)
        journal.append(epoch(2))
    assert Journal.read(path) == [event, epoch(2)]


def test_a_hundred_thousand_events_are_read_in_seconds(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(TrialEpoch(trial=0, epoch=1, metrics={f"val/metric{index}": index / 7 for index in range(12)}))
    path.write_bytes(path.read_bytes() * 100_000)
    seconds = []
    for _ in range(3):  # the best of three: others may be at work on this machine
        began = time.process_time()
        assert len(Journal.read(path)) == 100_000
        seconds.append(time.process_time() - began)
        if seconds[-1] < 2.0:
            return
    raise AssertionError(f"took {min(seconds):.1f} s of CPU")
