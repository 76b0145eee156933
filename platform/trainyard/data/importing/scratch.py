"""Folders for a short time: those of processes that were killed go when the next one is made."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir, mkdtemp

PREFIX = "trainyard-import-"
LOCK_FILE = "lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty but for a lock file, in the system's folder for such (TMPDIR). OSError if the disk refuses."""
    _remove_stale()
    folder = Path(mkdtemp(prefix=PREFIX))
    try:
        # Locked before it has its name: who finds it can't take it for one that nobody holds.
        unnamed = folder / f".{LOCK_FILE}"
        lock = os.open(unnamed, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _locked(lock)
            unnamed.rename(folder / LOCK_FILE)
            yield folder
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale() -> None:
    """This user's folders whose lock went with their process."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if _locked(lock):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _locked(lock: int) -> bool:
    """Whether nobody else holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
