"""One training process as a slot sees it: start a trial, train an epoch, hand out its state, stop.

The same `Worker` serves a slot with one worker, in the slot's own process, and every worker of a crew. Only rank 0's
answers carry metrics and states; the others carry out the same steps.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainyard.data.location import Location
from trainyard.errors import StorageError, TrainyardError
from trainyard.spec.job import Job
from trainyard.sweep.slots.assignment import Drawn, EpochDone, Started
from trainyard.sweep.slots.workers import SoloWorkers, describe
from trainyard.training import checkpoint
from trainyard.training.gradients.health import Finding
from trainyard.training.kinds import AnyData, AnyTrial, build_trial
from trainyard.training.member import Member
from trainyard.training.process import prepare_process


class Worker:
    """Trains one trial after the other in this process; data, imports and the process group stay.

    `data` is called until it has returned once, at the first trial. Whatever a trial raises passes through, with the
    trial closed. What keeps it from its data or weights is a StorageError.
    """

    def __init__(self, job: Job, data: Callable[[], AnyData], *, member: Member, directory: Path | None) -> None:
        self._job = job
        self._read_data = data
        self._data: AnyData | None = None
        self._member = member
        self._directory = directory
        self._trial: AnyTrial | None = None

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
        """Begin the job with `values`, from `state` if there is one."""
        self.stop()
        data = self._read()
        job = self._job.with_values(values)
        self._trial = build_trial(job, data, member=self._member, directory=self._directory)
        if state is not None:
            self._trial.load_state(checkpoint.from_bytes(state))
        return Started(
            history=tuple(self._trial.history),
            live=self._trial.live_values(),
            done=self._trial.done,
            findings=self._trial.findings,
            draws=self._trial.draws,
        )

    def _read(self) -> AnyData:
        """The data of all trials: whatever is wrong with it is so for the next trial, too."""
        if self._data is None:
            try:
                self._data = self._read_data()
            except TrainyardError as error:
                raise StorageError(str(error)) from error
            except Exception as error:
                raise StorageError(describe(error)) from error
        return self._data

    def epoch(self) -> EpochDone:
        metrics = self._running.epoch()
        return EpochDone(metrics=metrics, done=self._running.done, findings=self._running.findings)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found to be wrong with the training under way, also where it has just raised."""
        return () if self._trial is None else self._trial.findings

    def state(self) -> bytes | None:
        """The state of the trial under way, on rank 0; the other ranks' is the same."""
        return checkpoint.to_bytes(self._running.state()) if self._member.rank == 0 else None

    def save(self, place: Location) -> None:
        """Write the state of the trial under way to a file, on rank 0. RunError where the disk or bucket refuses."""
        if self._member.rank == 0:
            checkpoint.save_state(place, self._running.state())

    def draw(self, folder: Location) -> Drawn | None:
        """Write pictures of what the trial under way answers, on rank 0. Never raises: what goes wrong is told."""
        return self._running.draw(folder) if self._member.rank == 0 else None

    def stop(self) -> None:
        """End the trial under way, if any, and free its memory."""
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.close()

    @property
    def _running(self) -> AnyTrial:
        assert self._trial is not None, "no trial has been started"
        return self._trial


def lone_worker(job: Job, data: Callable[[], AnyData], *, directory: Path | None, gpus: float) -> SoloWorkers:
    """One worker in this process, on as many threads as the job gives it CPUs; on a GPU if it has any of one."""
    prepare_process(job.resources.cpus_per_worker)
    member = Member(device="cuda" if gpus else "cpu")
    return SoloWorkers(Worker(job, data, member=member, directory=directory))
