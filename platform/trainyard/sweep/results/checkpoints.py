"""The states of trials: one folder a trial, `last.pt` to go on from and `best.pt` to keep, with its pictures.

The workers write them (`training.checkpoint`, `training.pictures`), on storage that the nodes share, and a slot writes
beside them which epochs were best (`results.bests`) and from which state of Tune `last.pt` descends. The driver deletes
states, once it has recorded that a trial has ended: `last.pt` always, `best.pt` but for the best trials of the sweep.
Pictures stay: MLflow may take them late, and all of a trial's are smaller than a state.
"""

import contextlib
import hashlib
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainyard.data.location import PARTIAL, Location
from trainyard.errors import DataError, RunError

TRIALS = "trials"
"""The folder of the trials in that of a sweep."""

PICTURES = "pictures"
"""The folder of a trial's pictures in its own."""


class TrialFolder:
    """`<sweep>/trials/<number>/`; made when the first file is written."""

    def __init__(self, sweep_folder: Location | Path, trial: int) -> None:
        self._sweep = Location.of(sweep_folder)
        self._place = self._sweep / TRIALS / f"{trial:05d}"

    @property
    def last(self) -> Location:
        """The state to go on from."""
        return self._place / "last.pt"

    @property
    def best(self) -> Location:
        """The state at the best epoch."""
        return self._place / "best.pt"

    @property
    def pictures(self) -> Location:
        """Where the pictures of the best epoch are."""
        return self._place / PICTURES

    @property
    def bests(self) -> Location:
        """Which epochs were better than all before."""
        return self._place / "bests.json"

    @property
    def _ancestor(self) -> Location:
        return self._place / "ancestor"

    def descends_from(self, state: bytes) -> bool:
        """Whether `last` is of after the trial went on from this state."""
        try:
            return self._ancestor.read_bytes() == _digest(state)
        except (OSError, DataError):
            return False

    def goes_on_from(self, state: bytes) -> None:
        """The trial goes on from this state, and `last` holds it already. RunError where the disk refuses."""
        write_beside_states(self._ancestor, _digest(state))

    def last_state(self) -> bytes | None:
        """What `last` holds; None where there is none yet. RunError where it can't be read."""
        try:
            return self.last.read_bytes()
        except FileNotFoundError:
            self._require_sweep()
            return None
        except (OSError, DataError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
            raise RunError(f"{self.last}: the checkpoint can't be read ({reason}).") from error

    def _require_sweep(self) -> None:
        """RunError on a machine that does not see the sweep's folder, where states would be lost with the machine."""
        if self._sweep.local and not self._sweep.exists():
            raise RunError(
                f"{socket.gethostname()} does not see {self._sweep}, where the states of trials are kept. Mount it "
                "there, or name storage that all machines share with --results."
            )

    def drop_last(self) -> None:
        """With what only a trial that goes on needs, as far as the disk lets."""
        for place in (self.last, self.bests, self._ancestor):
            _delete(place)

    def drop_states(self) -> None:
        """Delete all but the pictures, as far as the disk lets."""
        self.drop_last()
        _delete(self.best)
        if self._place.local:
            with contextlib.suppress(OSError):
                for aside in self._place.local.glob(f".*{PARTIAL}*"):  # of a process that was killed
                    aside.unlink(missing_ok=True)
                self._place.local.rmdir()  # refused where there are pictures


def write_beside_states(file: Location, content: bytes) -> None:
    """What a slot remembers of a trial. RunError where the disk or bucket refuses."""
    try:
        file.write_bytes(content)
    except OSError as error:
        raise RunError(f"can't write {file}: {error.strerror or error}. Make room; then resume.") from error
    except DataError as error:
        raise RunError(f"can't write what a trial goes on from: {error} Mend that; then resume.") from error


def _digest(state: bytes) -> bytes:
    return hashlib.sha256(state).hexdigest().encode()


def _delete(place: Location) -> None:
    with contextlib.suppress(OSError, DataError):
        place.delete()


def keep_only(sweep_folder: Location | Path, best: Iterable[int], ended: Iterable[int]) -> set[int]:
    """Delete states that the `ended` trials need no more: all but the best of the `best`. Return those that stay."""
    stay = set(best) & set(ended)
    for trial in stay:
        TrialFolder(sweep_folder, trial).drop_last()
    for trial in set(ended) - stay:
        TrialFolder(sweep_folder, trial).drop_states()
    return stay


class Tidying:
    """`keep_only` for the driver of a sweep: in a thread of its own, as a bucket takes a second for ten trials."""

    def __init__(self, place: Location) -> None:
        self._place = place
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="trainyard-tidying")
        self._kept: set[int] = set()

    def ended(self, trials: Iterable[int], best: Iterable[int]) -> None:
        """These trials have ended since the last call, and the `best` of all are to be kept. Returns at once."""
        ended, best = {*self._kept, *trials}, list(best)
        self._kept = set(best) & ended
        self._thread.submit(keep_only, self._place, best, ended)

    def close(self) -> None:
        """Wait until all is deleted."""
        self._thread.shutdown()
