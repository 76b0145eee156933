"""From a request to an exit code: all is checked and opened before Ray starts, the cheapest first."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol, Self

from trainyard.cli.address import check_address
from trainyard.cli.machine import cpus_here, gpus_here
from trainyard.cli.outcome import conclude
from trainyard.cli.progress import Progress
from trainyard.cli.request import Request
from trainyard.data.dataset import Dataset
from trainyard.errors import RunError, TrackingError, UsageError
from trainyard.spec.files import require_files
from trainyard.spec.job import Job
from trainyard.sweep.opening import require_same_extraction
from trainyard.sweep.places import require_room
from trainyard.sweep.plan import Plan, make_data_plan, make_extraction_plan, plan_extraction
from trainyard.sweep.results.claim import claimed
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.results.mirror import Mirror, mirrored
from trainyard.sweep.signals import handled
from trainyard.tasks.fitting import require_fit
from trainyard.tracking.compare import sweep_exists
from trainyard.tracking.events import Event
from trainyard.tracking.journal import Journal
from trainyard.tracking.uri import check_reachable, masked, tracking_uri

INTERRUPTED = 130
"""What a shell says of a program that SIGINT ended."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A request of which all is open that can be opened without a cluster. past: the events of an earlier run."""

    dataset: Dataset
    folder: SweepFolder
    mirror: Mirror
    tracking_uri: str
    past: Sequence[Event]


class Display(Protocol):
    """Shows a run while it goes on. `plan` and `take` are called in the driver's loop and return at once."""

    def plan(self, plan: Plan) -> None: ...

    def take(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


@contextlib.contextmanager
def opened(request: Request) -> Iterator[Opened]:
    """Check and open everything. A new folder in which nothing came to be recorded is removed at the end."""
    require_files(request.job, request.space)
    dataset = _dataset(request.job)
    uri = tracking_uri(request.results)
    check_reachable(uri)
    if request.folder is not None:
        with claimed(request.folder) as claim, mirrored(request.folder, claim) as mirror:
            past = _past(request.folder)
            require_same_extraction(request.job, past, request.name)
            if request.space is not None and request.space != request.folder.space():
                request.folder.grow(request.space)
            yield Opened(dataset=dataset, folder=request.folder, mirror=mirror, tracking_uri=uri, past=past)
        return
    _check_name(request, uri)
    fresh_results = request.results.local is not None and not request.results.exists()
    folder = SweepFolder.reserve(request.results, request.name)
    with claimed(folder) as claim:
        folder.fill(request.job, request.space)
        recorded = False
        try:
            with mirrored(folder, claim) as mirror:
                try:
                    yield Opened(dataset=dataset, folder=folder, mirror=mirror, tracking_uri=uri, past=())
                finally:
                    recorded = has_records(folder)
        finally:
            # One that lost its claim has left the folder to another driver.
            if not recorded and (claim is None or claim.holds()):
                folder.remove()
                if fresh_results and request.results.local:
                    with contextlib.suppress(OSError):  # not empty: somebody else's
                        request.results.local.rmdir()


def _dataset(job: Job) -> Dataset:
    dataset = Dataset.open(job.data.path)
    require_fit(job, dataset.manifest)
    return dataset


def _past(folder: SweepFolder) -> Sequence[Event]:
    # Opened for writing first: that cuts off a torn last line, and refuses while the earlier driver still runs.
    with Journal(folder.journal):
        return Journal.read(folder.journal)


def has_records(folder: SweepFolder) -> bool:
    return folder.journal.exists() and folder.journal.stat().st_size > 0


def _check_name(request: Request, uri: str) -> None:
    """A name of our own has the time in it. One that the user chose may be in use in MLflow, if not in the folder."""
    here = (request.results / request.name).exists()
    if request.space is None or not request.named or here or not sweep_exists(uri, request.name):
        return
    raise UsageError(
        f"{masked(uri)}: a sweep {request.name} is recorded there already, with another results folder than "
        f"{request.results}. Give this one another --name."
    )


def display_of(request: Request, output: str, progress: Progress) -> Display:
    """A live table on a terminal, lines in a pipe, JSON where it is asked for; lines for the epochs of one training."""
    from trainyard.cli.lines import EpochLines, JsonLines, PlainLines

    if output == "json":
        return JsonLines(progress, sys.stdout)
    if request.space is None:
        return EpochLines(progress, sys.stdout, epochs=request.job.training.epochs)
    if not sys.stdout.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        return PlainLines(progress, sys.stdout)
    from rich.console import Console

    from trainyard.cli.live import LiveTable

    return LiveTable(progress, Console())


def cluster_of(address: str | None, cpus: int | None) -> dict[str, Any]:
    """What `connected` is asked for; UsageError where nobody answers, or CPUs of this machine are named as well."""
    if address is not None and cpus is not None:
        raise UsageError("--cpus is for this machine, and --address names a cluster. Leave one of them out.")
    address = address or os.environ.get("RAY_ADDRESS") or None
    check_address(address)
    return {"address": address, "cpus": cpus_here() if cpus is None else cpus}


def run(request: Request, *, address: str | None, cpus: int | None, output: str) -> int:
    """Run it, show it, print what came of it; the exit code. RunError where it failed."""
    cluster = cluster_of(address, cpus)
    if not cluster["address"]:
        _check_fits(request, cluster["cpus"])
    progress = Progress(request.name, [(objective.metric, objective.mode) for objective in request.job.objectives])
    carry_out = _train if request.space is None else _sweep
    recorded, undelivered = False, None
    try:
        with _terminable(), opened(request) as parts:
            for event in parts.past:
                progress.take(event)
            try:
                state, reason = carry_out(request, parts, cluster, display_of(request, output, progress))
            finally:
                recorded = has_records(parts.folder)
    except (KeyboardInterrupt, SystemExit):  # the latter by Ray's own handler of SIGTERM, while Ray starts
        state, reason = "interrupted", "stopped by a signal"
    except TrackingError as error:  # all is done and in the journal, only MLflow does not know it yet
        state, reason, undelivered = progress.state, progress.reason, error
    if recorded:
        conclude(request, progress, state, reason, output)
    if undelivered is None:
        return _exit_code(request, state, reason, recorded=recorded)
    print(undelivered, file=sys.stderr)
    return _exit_code(request, state, reason, recorded=recorded) or undelivered.exit_code


def _check_fits(request: Request, cpus: int) -> None:
    """InfeasibleError for what this machine can never hold, before Ray is started on it: that takes seconds."""
    resources = request.job.resources
    alone = request.space is None and not resources.crew
    gpus = gpus_here() if resources.gpus_per_worker else 0
    # GPUs of another make only Ray can find.
    if not alone and (gpus or not resources.gpus_per_worker):
        require_room(request.job, [{"CPU": cpus, "GPU": gpus}])


def _terminable() -> contextlib.AbstractContextManager[None]:
    """SIGTERM, by which batch systems end a job, is taken as Ctrl-C is: what was recorded can be resumed.

    To be entered again when Ray has started, which puts a handler of its own there.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    return handled(stop, signal.SIGTERM)


def _require_shared(parts: Opened) -> None:
    """UsageError naming the machines of the cluster that do not see the results or the data set."""
    from trainyard.cluster.storage import Shared, require_shared

    require_shared([Shared.results(parts.folder.place), Shared.data_set(parts.dataset.location)])


def _sweep(request: Request, parts: Opened, cluster: Mapping[str, Any], display: Display) -> tuple[str, str]:
    from trainyard.cluster.nodes import read_cluster
    from trainyard.cluster.session import connected

    assert request.space is not None
    with display, connected(**cluster) as nodes, _terminable():
        _require_shared(parts)
        # Not before Ray is up: its processes start meanwhile, and this is most of what the driver has to load.
        from trainyard.sweep.run import Sweep, run_sweep

        outcome = run_sweep(
            Sweep(
                job=request.job,
                space=request.space,
                dataset=parts.dataset,
                folder=parts.folder,
                mirror=parts.mirror,
                tracking_uri=parts.tracking_uri,
                resume_command=request.resume_command,
            ),
            nodes,
            listeners=[display.take],
            on_plan=display.plan,
            look=read_cluster if cluster["address"] else None,
        )
    return outcome.state, outcome.reason


def _train(request: Request, parts: Opened, cluster: Mapping[str, Any], display: Display) -> tuple[str, str]:
    from trainyard.cluster.session import connected
    from trainyard.data.loading import DataPlan, plan_data
    from trainyard.data.memory import free_memory
    from trainyard.sweep.train import Training, run_training

    job, manifest = request.job, parts.dataset.manifest
    data: DataPlan | None = None
    on_cluster = bool(cluster["address"])
    on_ray = job.resources.crew or on_cluster
    if not on_ray:
        # In this process, which needs no Ray but to stream.
        free, where = free_memory(), "the memory of this machine"
        if job.model.extracts:
            plan_extraction(job, manifest, free=free, where=where)
        else:
            here = plan_data(manifest, job.data, free=free, where=where)
            on_ray, data = here.streams, None if here.streams else here
    with display, contextlib.ExitStack() as stack:
        if on_ray:
            nodes = stack.enter_context(connected(**cluster, tune=job.resources.crew))
            stack.enter_context(_terminable())
            if job.resources.crew or on_cluster:
                _require_shared(parts)
                require_room(job, nodes)
            if job.model.extracts:
                make_extraction_plan(job, manifest, nodes)
            else:
                data = make_data_plan(job, manifest, nodes)
        training = Training(
            job=job,
            dataset=parts.dataset,
            data=data,
            on_ray=on_ray,
            on_cluster=on_cluster,
            folder=parts.folder,
            mirror=parts.mirror,
            tracking_uri=parts.tracking_uri,
            resume_command=request.resume_command,
        )
        record = run_training(training, listeners=[display.take])
    return ("finished" if record.state == "finished" else "failed"), record.reason


def _exit_code(request: Request, state: str, reason: str, *, recorded: bool) -> int:
    """0, or 130 and the command that resumes; RunError for a run that failed."""
    if state == "failed":
        ended = reason if reason.endswith("?") else f"{reason.rstrip('.')}."
        raise RunError(
            f"The {request.noun} {request.name} failed: {ended}\n"
            f"When the cause is mended, go on with: {request.resume_command}"
        )
    if state != "interrupted":
        return 0
    way_on = f"Resume with: {request.resume_command}" if recorded else "Nothing was started."
    print(f"Interrupted. {way_on}", file=sys.stderr)
    return INTERRUPTED
