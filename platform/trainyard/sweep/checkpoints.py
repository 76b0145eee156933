"""The states of trials on disk: one folder a trial, `last.pt` to go on from and `best.pt` to keep.

The workers write them (`training.checkpoint`), on storage that the nodes share. The driver deletes them, once it has
recorded that a trial has ended: `last.pt` always, `best.pt` but for the best trials of the sweep.
"""

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
        """What `last` holds; None where there is none yet. RunError where it can't be read."""
        try:
            return self.last.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"{self.last}: the checkpoint can't be read ({error.strerror}).") from error

    def drop_last(self) -> None:
        self.last.unlink(missing_ok=True)


def keep_only(sweep_folder: Path, best: Iterable[int], ended: Iterable[int]) -> set[int]:
    """Delete what the `ended` trials need no more: all but the best state of the `best`; return those that stay."""
    stay = set(best) & set(ended)
    for trial in stay:
        TrialFolder(sweep_folder, trial).drop_last()
    for trial in set(ended) - stay:
        shutil.rmtree(sweep_folder / "trials" / f"{trial:05d}", ignore_errors=True)
    return stay
