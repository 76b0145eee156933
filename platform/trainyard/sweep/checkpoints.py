"""The states of trials on disk: one folder a trial, `last.pt` to go on from and `best.pt` to keep, with its pictures.

The workers write them (`training.checkpoint`, `training.pictures`), on storage that the nodes share, and a slot writes
beside them which epochs were best (`sweep.bests`). The driver deletes
states, once it has recorded that a trial has ended: `last.pt` always, `best.pt` but for the best trials of the sweep.
Pictures stay: MLflow may take them late, and all of a trial's are smaller than a state.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from trainyard.errors import RunError

TRIALS = "trials"
"""The folder of the trials in that of a sweep."""

PICTURES = "pictures"
"""The folder of a trial's pictures in its own."""


class TrialFolder:
    """`<sweep>/trials/<number>/`; made when the first file is written."""

    def __init__(self, sweep_folder: Path, trial: int) -> None:
        self._path = sweep_folder / TRIALS / f"{trial:05d}"

    @property
    def last(self) -> Path:
        """The state to go on from."""
        return self._path / "last.pt"

    @property
    def best(self) -> Path:
        """The state at the best epoch."""
        return self._path / "best.pt"

    @property
    def pictures(self) -> Path:
        """Where the pictures of the best epoch are."""
        return self._path / PICTURES

    @property
    def bests(self) -> Path:
        """Which epochs were better than all before."""
        return self._path / "bests.json"

    def last_state(self) -> bytes | None:
        """What `last` holds; None where there is none yet. RunError where it can't be read."""
        try:
            return self.last.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"{self.last}: the checkpoint can't be read ({error.strerror}).") from error

    def drop_last(self) -> None:
        """With what only a trial that goes on needs."""
        for path in (self.last, self.bests):
            path.unlink(missing_ok=True)

    def drop_states(self) -> None:
        """Delete all but the pictures, as far as the disk lets."""
        with contextlib.suppress(OSError):
            for path in [path for path in self._path.iterdir() if path.name != PICTURES]:
                path.unlink(missing_ok=True)
            self._path.rmdir()  # refused where there are pictures


def keep_only(sweep_folder: Path, best: Iterable[int], ended: Iterable[int]) -> set[int]:
    """Delete states that the `ended` trials need no more: all but the best of the `best`. Return those that stay."""
    stay = set(best) & set(ended)
    for trial in stay:
        TrialFolder(sweep_folder, trial).drop_last()
    for trial in set(ended) - stay:
        TrialFolder(sweep_folder, trial).drop_states()
    return stay
