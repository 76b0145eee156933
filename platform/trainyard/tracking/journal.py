"""The journal of a sweep: every event, in order, one line of JSON each. What MLflow shows is a copy of it.

An event is in the file, whole, when `Journal.append` returns: the death of the process (SIGKILL too) can't take it away
any more. The death of the machine can, up to what was last synced; the recorder syncs before it copies, so MLflow never
knows more than the journal.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from trainyard.errors import RunError, UsageError
from trainyard.tracking.events import Event, from_json, to_json

_CHUNK = 1 << 20


class Journal:
    """Appends events to a file. One process writes at a time, any number may read; threads of the writer may share it.

    A line that a crash left torn at the end is cut off when the file is opened: its `append` never returned.
    """

    def __init__(self, path: Path, *, secure: Callable[[], None] = lambda: None) -> None:
        """Create the file (and its folder), or go on with it.

        secure: what `sync` calls besides, where the file alone does not outlive the machine.

        Raises UsageError when the place can't be written, or another process is writing there.
        """
        self.path = Path(path)
        self._secure = secure
        self._lock = threading.Lock()
        self._file, self._claim = _open(self.path)
        self.events, self._size = _mend(self._file)

    def append(self, event: Event) -> None:
        """Write one event. Costs 20 to 100 µs and waits for no other machine.

        Raises RunError when the disk takes no more; the file then ends with the event before.
        """
        line = to_json(event).encode() + b"\n"
        with self._lock:
            try:
                written = os.write(self._file, line)
                while written < len(line):  # the disk is full: the next write says so
                    written += os.write(self._file, line[written:])
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._size)
                raise RunError(
                    f"{self.path}: cannot be written: {error.strerror}. Make room there, then resume the sweep; what "
                    "was recorded so far is kept."
                ) from error
            self._size += len(line)
            self.events += 1

    def sync(self) -> None:
        """Make everything appended so far survive the death of the machine too. Others append meanwhile.

        Raises what `secure` raises.
        """
        with self._lock:
            if self._file < 0:
                return
            file = os.dup(self._file)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        self._secure()

    def close(self) -> None:
        """Let others write. Closing twice is harmless."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                os.close(self._claim)
                self._file = self._claim = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def read(path: Path) -> list[Event]:
        """All events of a journal, also of one that is being written; a torn last line is no event yet.

        Raises UsageError when there is no such file, RunError naming the line that can't be understood.
        """
        with JournalReader(path) as reader:
            events: list[Event] = []
            while more := reader.next(10_000):
                events += more
            return events


class JournalReader:
    """Reads a journal from its beginning and follows it while it grows. Holds one chunk of the file in memory."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.read = 0
        self._rest: list[bytes] = []
        self._torn = b""
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read: {error.strerror}. Is this a sweep's folder?") from error

    def next(self, most: int) -> list[Event]:
        """The next events, at most so many; none when all that is there has been read."""
        while not self._rest and (chunk := self._file.read(_CHUNK)):
            *lines, self._torn = (self._torn + chunk).split(b"\n")
            # In reverse, to take from the end: a list that shrinks at its front would be moved again and again.
            self._rest = lines[::-1]
        taken = [self._rest.pop() for _ in range(min(most, len(self._rest)))]
        return [self._event(line) for line in taken]

    def _event(self, line: bytes) -> Event:
        self.read += 1
        try:
            return from_json(line)
        except ValueError as error:
            raise RunError(
                f"{self.path}:{self.read}: this line of the journal is damaged ({error}). Remove the line, or restore "
                "the file from a backup; every other line is one event of the sweep."
            ) from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open(path: Path) -> tuple[int, int]:
    """The journal and the file that says whose it is, locked."""
    claim = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        claim = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(claim, 0)
        os.pwrite(claim, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), claim
    except BlockingIOError:
        owner = os.pread(claim, 300, 0).decode(errors="replace") or "another process"
        os.close(claim)
        raise UsageError(
            f"{path}: {owner} is writing this sweep. Wait until it ends, stop it, or choose another name."
        ) from None
    except OSError as error:
        if claim >= 0:
            os.close(claim)
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}. Choose a results folder that you may write."
        ) from error


def _mend(file: int) -> tuple[int, int]:
    """Cut off a torn last line. Returns the number of lines and bytes left."""
    lines = size = end = 0
    while chunk := os.pread(file, _CHUNK, size):
        lines += chunk.count(b"\n")
        last = chunk.rfind(b"\n")
        end = size + last + 1 if last >= 0 else end
        size += len(chunk)
    if end < size:
        os.ftruncate(file, end)
    return lines, end
