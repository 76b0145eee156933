"""What a slot trains with: its own process, or a crew. Both look the same to the slot."""

import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from trainyard.data.location import Location
from trainyard.errors import RunError, StorageError, TrainyardError, TrialError
from trainyard.sweep.slots.assignment import Drawn, EpochDone, Started

if TYPE_CHECKING:  # the worker imports torch, which a crew's slot does without
    from trainyard.sweep.slots.worker import Worker


class CrewLost(Exception):
    """The crew died under the trial. Start the trial again from its last checkpoint: the next crew takes it up.

    final: no other crew will come; the reason says why. counts: the trial may be the cause, as no machine died.
    """

    def __init__(self, reason: str, *, final: bool = False, counts: bool = True) -> None:
        self.final = final
        self.counts = counts
        super().__init__(reason)


class Workers(Protocol):
    """The workers of one slot. One trial at a time; calls come from one thread.

    `start` and `epoch` may raise TrialError or Diverged, with what was found until then: the trial has then ended and
    the workers are ready for the next `start`; so they are after the RunError by which they say that data or weights
    can't be read, which is no doing of the trial. `save` raises RunError where the disk refuses, `draw` tells of it.
    Workers that live in other processes may raise CrewLost at any time: `start` again with a state. After `leave`, too,
    a trial goes on with `start` and a state.
    """

    @property
    def cramped(self) -> bool:
        """Whether to `leave` when it suits: there is room for more of them, or a node of theirs is about to go."""
        ...

    def leave(self) -> None:
        """Let go of the trial, and of the places that they have, for others where there is room by then."""
        ...

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started: ...

    def epoch(self) -> EpochDone: ...

    def state(self) -> bytes: ...

    def save(self, place: Location) -> None: ...

    def draw(self, folder: Location) -> Drawn: ...

    def stop(self) -> None: ...


class NoWorkers:
    """Workers that will never come, for a reason that is not the trial's: whatever is asked of them says so."""

    cramped = False

    def __init__(self, reason: str) -> None:
        self._lost = CrewLost(reason, final=True)

    def leave(self) -> None:
        return None

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
        raise self._lost

    def epoch(self) -> EpochDone:
        raise self._lost

    def state(self) -> bytes:
        raise self._lost

    def save(self, place: Location) -> None:
        raise self._lost

    def draw(self, folder: Location) -> Drawn:
        raise self._lost

    def stop(self) -> None:
        return None


class SoloWorkers:
    """One worker, in the slot's own process. Whatever the trial raises never ends the process."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    @property
    def cramped(self) -> bool:
        return False

    def leave(self) -> None:
        """Its place is the slot's own."""
        self._worker.stop()

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
        with _EndsTrial(self._worker):
            return self._worker.start(values, state)

    def epoch(self) -> EpochDone:
        with _EndsTrial(self._worker):
            return self._worker.epoch()

    def state(self) -> bytes:
        state = self._worker.state()
        assert state is not None, "a lone worker is rank 0"
        return state

    def save(self, place: Location) -> None:
        self._worker.save(place)

    def draw(self, folder: Location) -> Drawn:
        drawn = self._worker.draw(folder)
        assert drawn is not None, "a lone worker is rank 0"
        return drawn

    def stop(self) -> None:
        self._worker.stop()


class _EndsTrial:
    """Turns what a trial raised into a TrialError, and what kept it from its data or weights into a RunError.

    The trial is closed, so that its memory is free for the next.
    """

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None or isinstance(error, KeyboardInterrupt):
            return
        reason, unread = reason_of(error), isinstance(error, StorageError)
        failure = type(error) if isinstance(error, TrialError) else TrialError
        findings = self._worker.findings
        release(error)
        self._worker.stop()
        raise (RunError(reason) if unread else failure(reason, findings=findings)) from None


def reason_of(error: BaseException) -> str:
    """What a user reads of what a worker raised."""
    if isinstance(error, StorageError):
        return f"no trial can train: {str(error).rstrip('.')}. Mend that; then resume."
    return str(error) if isinstance(error, TrainyardError) else describe(error)


def release(error: BaseException) -> None:
    """Drop the frames of an error and its causes, which keep a failed step's tensors alive (ray-project/ray#30414)."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause.__traceback__, cause = None, cause.__cause__ or cause.__context__


def describe(error: BaseException) -> str:
    """An exception in one line, with the file and line that raised it: `OutOfMemoryError: ... (nets.py:12)`."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}{where}" if text else f"{type(error).__name__}{where}"
