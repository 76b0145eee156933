"""A sweep's records from its bucket to the disk of the driver that goes on with it.

What `sweep.mirror` brings there is copied object by object, and a driver may die in between. The study says how many
events of the journal go with it; what the journal holds beyond is cut off.
"""

import contextlib
import sqlite3

from trainyard.data.location import Location
from trainyard.errors import RunError
from trainyard.sweep.checkpoints import TRIALS
from trainyard.sweep.folder import SweepFolder
from trainyard.tracking.events import TrialStarted
from trainyard.tracking.journal import Journal


def fetch(folder: SweepFolder) -> None:
    """Put the journal and the study of the bucket in place of those on this disk, unless these go on from them.

    They do after the death of a driver on this machine: then nothing is lost but what was under way. Trials that are
    not in the journal then were lost with their driver, and their states go: new trials will have their numbers.
    RunError for a study that is damaged.
    """
    _fetch_records(folder)
    known = {event.trial for event in Journal.read(folder.journal) if isinstance(event, TrialStarted)}
    for name in _trials(folder.place):
        if int(name) not in known:
            (folder.place / TRIALS / name).delete()


def _fetch_records(folder: SweepFolder) -> None:
    journal, study = _content(folder.place / folder.journal.name), b""
    if (folder.path / "space.yaml").exists():
        study = _content(folder.place / folder.study.name)
        journal = _first_lines(journal, _events(study, folder) if study else 0)
    if folder.journal.exists() and folder.journal.read_bytes().startswith(journal):
        return
    for stale in folder.path.glob(f"{folder.study.name}*"):  # with its -wal and -shm
        stale.unlink()
    if study:
        folder.study.write_bytes(study)
    folder.journal.write_bytes(journal)


def _trials(place: Location) -> list[str]:
    try:
        return [name for name in (place / TRIALS).folders() if name.isdigit()]
    except FileNotFoundError:
        return []


def _content(place: Location) -> bytes:
    try:
        return place.read_bytes()
    except FileNotFoundError:  # nothing had been recorded
        return b""


def _events(study: bytes, folder: SweepFolder) -> int:
    """How many events of the journal go with a study."""
    file = folder.path / ".fetched.db"
    try:
        file.write_bytes(study)
        with contextlib.closing(sqlite3.connect(file)) as database:
            return int(database.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise RunError(
            f"{folder.place / folder.study.name} is damaged ({error}). Restore it from a backup, or start anew."
        ) from error
    finally:
        file.unlink(missing_ok=True)


def _first_lines(journal: bytes, count: int) -> bytes:
    return b"".join(journal.splitlines(keepends=True)[:count])
