"""A sweep's records from its bucket to the disk of the driver that goes on with it.

What `results.mirror` brings there is copied object by object, and a driver may die in between. The study says which
events of the journal go with it (`results.mark`); what the journal holds beyond is cut off.

From the first driver's start on there are a journal and a study, empty ones at first. One that is missing has been lost
by others, and nothing is concluded from that.
"""

import sqlite3
from pathlib import Path

from trainyard.data.location import Location
from trainyard.errors import RunError
from trainyard.sweep.results.checkpoints import TRIALS
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.results.mark import Mark, read_mark, write_mark
from trainyard.tracking.events import TrialStarted
from trainyard.tracking.journal import Journal

_WAY_OUT = "Nothing was changed. Restore it from a backup of the bucket, or start anew under another name."


def fetch(folder: SweepFolder) -> None:
    """Put the journal and the study of the bucket in place of those on this disk, unless these go on from them.

    They do after the death of a driver on this machine: then nothing is lost but what was under way. Trials that are
    not in the journal then were lost with their driver, and their states go: new trials will have their numbers.
    RunError for records that are missing, damaged, or don't belong together; then all stays as it is.
    """
    _fetch_records(folder)
    known = {event.trial for event in Journal.read(folder.journal) if isinstance(event, TrialStarted)}
    for name in _trials(folder.place):
        if int(name) not in known:
            (folder.place / TRIALS / name).delete()


def _fetch_records(folder: SweepFolder) -> None:
    searches = (folder.path / "space.yaml").exists()
    journal = _content(folder.place / folder.journal.name)
    study = _content(folder.place / folder.study.name) if searches else None
    if journal is None or (searches and study is None):
        _begin(folder, journal, study, searches=searches)
        journal, study = b"", None
    elif study is not None:
        journal = _journal_of(study, journal, folder)
    if folder.journal.exists() and folder.journal.read_bytes().startswith(journal):
        return
    for stale in folder.path.glob(f"{folder.study.name}*"):  # with its -wal and -shm
        stale.unlink()
    if study is not None:
        folder.study.write_bytes(study)
    folder.journal.write_bytes(journal)


def _begin(folder: SweepFolder, journal: bytes | None, study: bytes | None, *, searches: bool) -> None:
    """Say in the bucket that there are no records yet; RunError if there were some."""
    if journal or study is not None or _trials(folder.place):
        missing = folder.journal if journal is None else folder.study
        raise RunError(f"{folder.place / missing.name} is missing, and other parts of the sweep are there. {_WAY_OUT}")
    (folder.place / folder.journal.name).write_bytes(b"")
    if searches:
        empty = _aside(folder)
        try:
            write_mark(empty, Mark.of(b""))
            (folder.place / folder.study.name).write_bytes(empty.read_bytes())
        finally:
            empty.unlink(missing_ok=True)


def _journal_of(study: bytes, journal: bytes, folder: SweepFolder) -> bytes:
    """The events that go with a study."""
    place, file = folder.place / folder.study.name, _aside(folder)
    try:
        file.write_bytes(study)
        mark = read_mark(file)
    except sqlite3.Error as error:
        raise RunError(f"{place} is damaged ({error}). {_WAY_OUT}") from error
    finally:
        file.unlink(missing_ok=True)
    if mark is None:
        raise RunError(
            f"{place} does not say which events of the journal go with it. A sweep of a disk goes on there, not in a "
            "copy in a bucket."
        )
    part = mark.part_of(journal)
    if part is None:
        raise RunError(
            f"{folder.place / folder.journal.name} does not begin with the {mark.events} events that "
            f"{folder.study.name} goes with: one of the two is damaged, or from another time. {_WAY_OUT}"
        )
    return part


def _aside(folder: SweepFolder) -> Path:
    file = folder.path / ".fetched.db"
    file.unlink(missing_ok=True)
    return file


def _trials(place: Location) -> list[str]:
    try:
        return [name for name in (place / TRIALS).folders() if name.isdigit()]
    except FileNotFoundError:
        return []


def _content(place: Location) -> bytes | None:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None
