"""What the copy of a study in a bucket says of the journal that goes with it: a table of one row.

It is in the study itself, which is replaced at one stroke: who reads it has a number of events and a study of one
moment.
"""

import contextlib
import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Of the journal's first `events` lines. digest: SHA-256 of them."""

    events: int
    digest: str

    @classmethod
    def of(cls, journal: bytes) -> "Mark":
        return cls(events=journal.count(b"\n"), digest=hashlib.sha256(journal).hexdigest())

    def part_of(self, journal: bytes) -> bytes | None:
        """What goes with the study; None where this is another journal, or one that has lost events."""
        first = b"".join(journal.splitlines(keepends=True)[: self.events])
        return first if self == Mark.of(first) else None


def write_mark(study: Path, mark: Mark) -> None:
    """Into a database, or a new one that holds nothing else."""
    with contextlib.closing(sqlite3.connect(study)) as database:
        database.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        database.execute("DROP TABLE IF EXISTS trainyard_mark")
        database.execute("CREATE TABLE trainyard_mark (events INTEGER NOT NULL, digest TEXT NOT NULL)")
        database.execute("INSERT INTO trainyard_mark VALUES (?, ?)", (mark.events, mark.digest))
        database.commit()


def read_mark(study: Path) -> Mark | None:
    """None in a study that was not brought by a driver. sqlite3.Error for a file that is damaged."""
    with contextlib.closing(sqlite3.connect(study)) as database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'trainyard_mark'").fetchone() is None:
            return None
        events, digest = database.execute("SELECT events, digest FROM trainyard_mark").fetchone()
        return Mark(events=int(events), digest=str(digest))
