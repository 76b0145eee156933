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

    @property
    def last(self) -> Path:
        """The state to go on from."""
        return self._path / "last.pt"

    @property
    def best(self) -> Path:
        """The state at the best epoch."""
        return self._path / "best.pt"

    def last_state(self) -> bytes | None:
        """What `last` holds; None where there is none yet."""
        try:
            return self.last.read_bytes()
        except FileNotFoundError:
            return None

    def drop_last(self) -> None:
        self.last.unlink(missing_ok=True)


def keep_only(sweep_folder: Path, best: Iterable[int], ended: Iterable[int]) -> set[int]:
    """Delete the folders of the `ended` trials that are not among the `best`; return those that stay."""
    stay = set(best) & set(ended)
    for trial in set(ended) - stay:
        shutil.rmtree(sweep_folder / "trials" / f"{trial:05d}", ignore_errors=True)
    return stay


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. RunError where the disk refuses."""
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
