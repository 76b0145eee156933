"""One trial of a job by itself: `trainyard train`. With one worker and data that fits the memory it needs no Ray."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from trainyard.data.dataset import Dataset
from trainyard.data.loading import DataPlan
from trainyard.errors import RunError, StorageError
from trainyard.spec.job import Job
from trainyard.sweep.ledger import Listener
from trainyard.sweep.opening import opening
from trainyard.sweep.places import share_of_crew
from trainyard.sweep.record import TrialRecord, found, pictures_of, replay
from trainyard.sweep.results.checkpoints import TrialFolder
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.results.mirror import Mirror, NoMirror
from trainyard.sweep.slots.assignment import Assignment
from trainyard.sweep.slots.trial_run import Result, TrialRun
from trainyard.sweep.slots.workers import Workers, describe, reason_of
from trainyard.tracking.events import Event, SweepEnded, TrialEpoch, TrialNote, TrialStarted
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import recording

if TYPE_CHECKING:
    from trainyard.data.cache import SharedData
    from trainyard.sweep.extraction import SharedExtraction
    from trainyard.training.kinds import AnyData

TRIAL = 0


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that was asked for, checked. `folder` is laid out as a sweep's, without a space.

    on_ray: whether a Ray is connected, which several workers and streamed splits need. on_cluster: whether it is not
    of this machine, so that one worker, too, is placed where the cluster has room. data: None where trials are trained
    on what is extracted.
    """

    job: Job
    dataset: Dataset
    data: DataPlan | None
    on_ray: bool
    folder: SweepFolder
    tracking_uri: str
    resume_command: str = ""
    mirror: Mirror = field(default_factory=NoMirror)
    on_cluster: bool = False


def run_training(training: Training, *, listeners: Sequence[Listener] = ()) -> TrialRecord:
    """Train the job once, or go on with it, and record it as one MLflow run; return what came of it.

    KeyboardInterrupt passes through with everything recorded; the
    record's state says what else went wrong.
    """
    with Journal(training.folder.journal, secure=training.mirror.secure) as journal:
        past = Journal.read(training.folder.journal)
        objectives = training.job.objectives
        record = replay(past, objectives).get(TRIAL) or TrialRecord(TRIAL, {}, objectives)
        if record.ended:
            return record
        with (
            recording(
                journal,
                training.tracking_uri,
                training.job.name,
                deliver_with=training.resume_command,
                pictures=training.folder.place,
                standalone=True,
            ) as recorder,
            contextlib.ExitStack() as stack,
        ):

            def send(event: Event) -> None:
                recorder.send(event)
                for listener in listeners:
                    listener(event)

            send(opening(training.folder.name, training.job, None, training.dataset.manifest))
            try:
                # What goes wrong here, with the data or an extraction, ends the run and not the trial.
                workers = stack.enter_context(_workers(training))
                send(TrialStarted(trial=TRIAL))
                _train(training, workers, record, send)
            except BaseException as error:
                interrupted = isinstance(error, KeyboardInterrupt)
                reason = "stopped by a signal" if interrupted else describe(error)
                send(SweepEnded(state="interrupted" if interrupted else "failed", reason=reason))
                raise
            send(SweepEnded(state="finished" if record.state == "finished" else "failed", reason=record.reason))
    return record


def _train(training: Training, workers: Workers, record: TrialRecord, send: Callable[[Event], None]) -> None:
    assignment = Assignment(trial=TRIAL, reported=record.epochs)
    run = TrialRun(assignment, training.job, workers, TrialFolder(training.folder.place, TRIAL))
    result: Result | None = None
    while result is None or not result.done:
        if training.mirror.lost:
            raise RunError(training.mirror.lost)
        result = run.next_result()
        if result.live:
            send(TrialNote(trial=TRIAL, tags={f"live/{path}": value for path, value in result.live.items()}))
        if result.metrics:
            event = TrialEpoch(trial=TRIAL, epoch=result.epoch, metrics=result.metrics)
            if record.take(event):
                send(event)
        for finding in result.findings:
            heard = found(TRIAL, finding)
            if record.find(heard):
                send(heard)
        if result.drawn:
            pictures = pictures_of(TRIAL, result.drawn)
            if record.picture(pictures):
                send(pictures)
    if result.state == "unfinished":
        raise RunError(result.reason)
    assert result.state != "running"
    send(record.end(result.state, result.reason))
    TrialFolder(training.folder.place, TRIAL).drop_last()


@contextlib.contextmanager
def _workers(training: Training) -> Iterator[Workers]:
    job = training.job
    if not training.on_ray:
        with _storage_may_be_away():
            read = _read_here(training)
        yield _solo(training, read)
        return
    with _storage_may_be_away():
        data = _shared(training)
    if not job.resources.crew:
        yield from _alone(training, data)
        return
    from trainyard.sweep.crews.crew import Crew, CrewOrders, CrewWorkers, close_crews, open_mailboxes

    (mailbox,) = open_mailboxes(1)
    orders = CrewOrders(job=job, directory=job.directory, data=data)
    crew = Crew("crew", orders, mailbox, training.folder.storage("crews"), share=_share_of_crew(training))
    try:
        yield CrewWorkers(mailbox)
    finally:
        close_crews([crew])


@contextlib.contextmanager
def _storage_may_be_away() -> Iterator[None]:
    """Then the training is unfinished, and can be resumed."""
    try:
        yield
    except StorageError as error:
        raise RunError(reason_of(error)) from error


def _share_of_crew(training: Training) -> int:
    """For how many workers the crew may ask the cluster's autoscaler; 0: there is none."""
    from trainyard.cluster.nodes import read_cluster

    if not training.on_cluster:
        return 0
    cluster = read_cluster()
    return share_of_crew(training.job, cluster.places(), 1) if cluster.grows else 0


def _alone(training: Training, data: "SharedData | SharedExtraction") -> Iterator[Workers]:
    """One worker, on a node of the cluster or in this process."""
    if not training.on_cluster:
        yield _solo(training, data.read)
        return
    from trainyard.sweep.slots.hosted import HostedWorker

    worker = HostedWorker(training.job, training.job.directory, data)
    try:
        yield worker
    finally:
        worker.close()


def _read_here(training: Training) -> Callable[[], "AnyData"]:
    """What one worker in this process is trained on: extracted now, and decoded once it is called."""
    job = training.job
    if job.model.extracts:
        from trainyard.training.extraction.here import read_extracted_here
        from trainyard.training.process import prepare_process

        prepare_process(job.resources.cpus_per_worker)
        extracted = read_extracted_here(job, training.dataset, "cuda" if job.resources.gpus_per_worker else "cpu")
        return lambda: extracted
    from trainyard.data.local import read_here

    return partial(read_here, training.dataset, job.data, job.prompts)


def _shared(training: Training) -> "SharedData | SharedExtraction":
    job = training.job
    if job.model.extracts:
        from trainyard.sweep.extraction import share_extracted

        return share_extracted(job, training.dataset)
    from trainyard.data.cache import share

    assert training.data is not None
    cpus = job.resources.cpus_per_worker
    return share(training.dataset, job.data, training.data, prompts=job.prompts, cpus_per_worker=cpus)


def _solo(training: Training, read: Callable[[], "AnyData"]) -> Workers:
    from trainyard.sweep.slots.worker import lone_worker

    job = training.job
    return lone_worker(job, read, directory=job.directory, gpus=job.resources.gpus_per_worker)
