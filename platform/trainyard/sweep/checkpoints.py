"""The states of trials on disk: one folder a trial, `last.pt` to go on from and `best.pt` to keep.

Files are whole or absent: written aside, then renamed. `last.pt` goes when the trial ends, `best.pt` stays for the best
trials of the sweep only.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from trainyard.errors import RunError


class TrialFolder:
    """`<sweep>/trials/<number>/`; made when the first file is written."""

    def __init__(self, sweep_folder: Path, trial: int) -> None:
        self._path = sweep_folder / "trials" / f"{trial:05d}"

    def last_state(self) -> bytes | None:
        """The state to go on from; None where there is none yet."""
        return _read(self._path / "last.pt")

    def save_last(self, state: bytes) -> None:
        _write(self._path / "last.pt", state)

    def save_best(self, state: bytes) -> None:
        _write(self._path / "best.pt", state)

    def drop_last(self) -> None:
        (self._path / "last.pt").unlink(missing_ok=True)


def keep_only(sweep_folder: Path, best: Iterable[int], ended: Iterable[int]) -> set[int]:
    """Delete the folders of the `ended` trials that are not among the `best`; return those that stay."""
    stay = set(best) & set(ended)
    for trial in set(ended) - stay:
        shutil.rmtree(sweep_folder / "trials" / f"{trial:05d}", ignore_errors=True)
    return stay


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise RunError(
            f"{path}: the checkpoint could not be written ({error.strerror}). "
            "Make room or point --results at another disk, then resume."
        ) from error
