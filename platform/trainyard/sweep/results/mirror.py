"""The mirror of a sweep in a bucket: what its driver appends to, brought there while it grows.

A bucket takes whole objects only, so the journal and the study grow on the driver's disk, and whole copies of them
replace those in the bucket. What another machine finds there is always one moment of the sweep: the study says which
events of the journal go with it (`results.mark`), the journal is brought first, and what it holds beyond is cut off
when it is fetched.

The recorder tells MLflow nothing that is not in the bucket yet (`Journal.sync`). So after the death of the driver's
machine MLflow never knows of an epoch that the next driver would tell again.
"""

import contextlib
import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from trainyard.errors import DataError, RunError
from trainyard.sweep.results.claim import RENEW_SECONDS, Claim
from trainyard.sweep.results.fetch import fetch
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.results.mark import Mark, write_mark

EVERY_SECONDS = 3.0
"""Between the end of one copy and the next, if the recorder does not ask for one earlier."""

_SCRATCH = ("tune", "crews")

_log = logging.getLogger(__name__)


class Mirror(Protocol):
    """What a driver does for a copy of its sweep elsewhere.

    change: held while one event changes the journal and the study, so that a copy never falls in between.
    """

    change: threading.Lock

    @property
    def lost(self) -> str:
        """Why the sweep is another driver's by now; empty while it is this one's."""
        ...

    def secure(self) -> None:
        """Return when all that the journal holds now outlives this machine.

        DataError while the bucket takes nothing; RunError once the sweep is another driver's.
        """
        ...


class NoMirror:
    """Of a sweep on a disk, which is all there is of it."""

    def __init__(self) -> None:
        self.change = threading.Lock()

    @property
    def lost(self) -> str:
        return ""

    def secure(self) -> None:
        return None


@contextlib.contextmanager
def mirrored(folder: SweepFolder, claim: Claim | None) -> Iterator[Mirror]:
    """Fetch a sweep from its bucket, as far as it is not here, and keep the bucket up to date.

    claim: the one that this driver has on it; None for a sweep on a disk. RunError for records there that can't be gone
    on from, and at the end for what could not be brought, unless a worse error is under way.
    """
    if claim is None:
        yield NoMirror()
        return
    mirror = BucketMirror(folder, claim)
    mirror.open()
    try:
        yield mirror
    except BaseException:
        try:
            mirror.close()
        except RunError as error:
            _log.warning("%s", error)
        raise
    mirror.close()


class BucketMirror:
    """Keeps the claim on a sweep alive, and copies. Threads: `secure` may be called from any."""

    def __init__(self, folder: SweepFolder, claim: Claim) -> None:
        self.change = threading.Lock()
        self._folder = folder
        self._bucket = folder.place
        self._claim = claim
        self._copying = threading.Lock()
        self._brought = 0
        self._trouble = ""
        self._closing, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="trainyard-mirror", daemon=True)
        # For itself: a copy may take longer than a claim holds.
        self._claiming = threading.Thread(target=self._keep_claim, name="trainyard-claim", daemon=True)

    @property
    def lost(self) -> str:
        return self._claim.lost

    def open(self) -> None:
        """Fetch what is not here, and begin."""
        fetch(self._folder)
        self._thread.start()
        self._claiming.start()

    def close(self) -> None:
        """Bring the rest. RunError where that fails: what is missing is kept on the disk."""
        self._closing.set()
        self._thread.join()
        try:
            self.secure()
            if self._folder.ray_log.exists():
                (self._bucket / self._folder.ray_log.name).write_bytes(self._folder.ray_log.read_bytes())
            with contextlib.suppress(DataError):  # what is left of it costs storage and nothing else
                for scratch in _SCRATCH:
                    (self._bucket / scratch).delete()
        except DataError as error:
            raise RunError(
                f"The last records of {self._folder.name} did not get to the bucket: {str(error).rstrip('.')}. They "
                f"are kept in {self._folder.path}; --resume on this machine brings them there."
            ) from error
        else:
            shutil.rmtree(self._folder.path, ignore_errors=True)
        finally:
            self._closed.set()
            self._claiming.join()

    def secure(self) -> None:
        with self._copying:
            self._claim.renew()
            with self.change:
                size = _size(self._folder.journal)
                if size == self._brought:
                    return
                study = self._copied_study()
            with open(self._folder.journal, "rb") as file:
                journal = file.read(size)
            (self._bucket / self._folder.journal.name).write_bytes(journal)
            if study is not None:
                write_mark(study, Mark.of(journal))
                self._claim.renew()  # the upload may have taken long
                (self._bucket / self._folder.study.name).write_bytes(study.read_bytes())
            self._brought = size

    def _copied_study(self) -> Path | None:
        """A copy of the database, taken while nobody changes it: some milliseconds for thousands of trials."""
        if not self._folder.study.exists():
            return None
        copy = self._folder.path / ".mirrored.db"
        copy.unlink(missing_ok=True)
        try:
            with _database(self._folder.study) as source, _database(copy) as target:
                source.backup(target)
        except sqlite3.Error as error:
            raise DataError(f"{self._folder.study}: can't be copied ({error}).") from error
        return copy

    def _keep_claim(self) -> None:
        while not self._closed.wait(RENEW_SECONDS):
            with contextlib.suppress(DataError, RunError):  # told by those who want to write
                self._claim.renew()

    def _work(self) -> None:
        while not self._closing.wait(EVERY_SECONDS):
            try:
                self.secure()
            except RunError as error:
                _log.warning("%s", error)
                return
            except (OSError, DataError) as error:
                self._say_trouble(str(error).rstrip("."))
            else:
                self._say_recovered()

    def _say_trouble(self, reason: str) -> None:
        if not self._trouble:
            _log.warning(
                "The records of %s do not get to the bucket (%s). They are kept in %s and brought there later.",
                self._folder.name,
                reason,
                self._folder.path,
            )
        self._trouble = reason

    def _say_recovered(self) -> None:
        if self._trouble:
            _log.warning("The records of %s are in the bucket again.", self._folder.name)
        self._trouble = ""


def _size(journal: Path) -> int:
    return journal.stat().st_size if journal.exists() else 0


def _database(file: Path) -> contextlib.AbstractContextManager[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(file))
