"""The jobs of a Ray cluster, over the HTTP of its dashboard: submit, list, follow, stop."""

import asyncio
import contextlib
import os
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from trainyard.cluster.dashboard import (
    ADDRESS_SETTING,
    answers,
    connect,
    first_line,
    require_listener,
    url_of,
    without_password,
)
from trainyard.cluster.log import Disconnected, LogReader
from trainyard.cluster.shipment import Shipment
from trainyard.cluster.submission import State, Submission, SubmittedJob, check_id, stop_seconds
from trainyard.errors import RunError, UsageError
from trainyard.spec.hints import close

START_SECONDS = 60.0
"""For a head whose dashboard answers already, and the agent that starts entry points not yet."""
PATIENCE_SECONDS = 60.0
"""For a dashboard that a job is being followed through and that went away."""


class Jobs:
    """A connection to the dashboard of a cluster.

    Every method raises UsageError where nobody answers, the token is refused, or there is no job of that id.
    """

    def __init__(self, client: Any, address: str, *, usual: bool) -> None:
        """usual: whether a command finds it without --address."""
        self._client = client
        self.address = without_password(address)
        self._usual = usual

    @classmethod
    def at(cls, address: str | None) -> Self:
        """address: `http://host:8265`, of the dashboard; else what RAY_API_SERVER_ADDRESS says."""
        place = address or os.environ.get(ADDRESS_SETTING)
        if not place:
            raise UsageError(
                f"--address is missing: the dashboard of a cluster, such as http://head:8265. Or set {ADDRESS_SETTING}."
            )
        url = url_of(place)
        require_listener(url)
        with answers(url):
            return cls(connect(url), url, usual=place == os.environ.get(ADDRESS_SETTING))

    def command(self, verb: str, id: str, *options: str) -> str:
        """`trainyard logs ID -f --address URL`, to be copied."""
        where = () if self._usual else ("--address", self.address)
        return shlex.join(["trainyard", verb, id, *options, *where])

    def submit(self, submission: Submission, shipment: Shipment, package: Path | None = None) -> None:
        """Send what is shipped, unless the cluster has it, and start the entry point. package: a Python package."""
        with tempfile.TemporaryDirectory() as folder, answers(self.address):
            archive = None
            if shipment.files:
                archive = Path(folder) / "shipment.zip"
                shipment.pack(archive)
            wanted = submission.runtime_env(
                working_dir=str(archive) if archive else None, packages=[str(package)] if package else []
            )
            self._submit(submission, wanted)

    def _submit(self, submission: Submission, runtime_env: Mapping[str, Any]) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self._client.submit_job(
                    entrypoint=submission.entry_point,
                    submission_id=submission.id,
                    metadata=submission.metadata,
                    runtime_env=dict(runtime_env),
                )
                return
            except RuntimeError as error:
                if "No available agent" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(1.0)

    def all(self) -> list[SubmittedJob]:
        """Those that were submitted, by whatever means, the newest first; not the drivers that people started."""
        with answers(self.address):
            found = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: -(job.started or 0.0))

    def get(self, id: str) -> SubmittedJob:
        check_id(id)
        with answers(self.address), self._known(id):
            return _job(self._client.get_job_info(id))

    def log(self, id: str) -> str:
        """All that the job has printed until now; it is gone with the node on which it ran, the head."""
        check_id(id)
        with answers(self.address), self._known(id):
            return str(self._client.get_job_logs(id))

    def stop(self, id: str) -> None:
        """Ask for the end of a job; it comes when the driver has told MLflow, or is killed after its stop_seconds."""
        check_id(id)
        with answers(self.address), self._known(id):
            self._client.stop_job(id)

    def wait(self, id: str, seconds: float, pause: float = 0.5) -> SubmittedJob:
        """The job when it is over, or as it is after so long."""
        end = time.monotonic() + seconds
        while not (job := self.get(id)).over and time.monotonic() < end:
            time.sleep(pause)
        return job

    def follow(self, id: str, show: Callable[[str], None]) -> SubmittedJob:
        """Show what a job prints, from its beginning and as it comes, until it is over; the job as it then is.

        Survives a dashboard that is away for a minute; RunError when it stays away. What was shown is not shown again.
        """
        check_id(id)
        self.get(id)
        return asyncio.run(self._follow(id, show))

    async def _follow(self, id: str, show: Callable[[str], None]) -> SubmittedJob:
        reader = LogReader(show)
        lost: float | None = None
        while True:
            trouble: Exception | None = None
            try:
                whole = await reader.read(self._client.tail_job_logs(id))
                job = await _aside(lambda: self.get(id))
                if whole and job.over:
                    return job
            except (Disconnected, UsageError) as error:
                trouble = error
            lost = None if trouble is None else lost or time.monotonic()
            if lost is not None and time.monotonic() - lost > PATIENCE_SECONDS:
                raise RunError(
                    f"{self.address}: lost the connection ({first_line(trouble)}). The job goes on if its cluster "
                    f"does. Follow it again with: {self.command('logs', id, '-f')}"
                ) from trouble
            await asyncio.sleep(1.0)

    @contextlib.contextmanager
    def _known(self, id: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if "status code 404" not in str(error):
                raise
            ids = [job.id for job in self.all()]
            hint = close(id, ids) or (f" The newest is {ids[0]}." if ids else " There are none yet.")
            raise UsageError(f"{self.address}: no job {id} was submitted there.{hint}") from error


async def _aside(call: Callable[[], SubmittedJob]) -> SubmittedJob:
    """What a call returns or raises, in a thread of its own: Ctrl-C is heard although the dashboard is silent.

    Nobody waits for the thread then, as one would for those of asyncio, and for minutes.
    """
    answer: Future[SubmittedJob] = Future()
    answer.set_running_or_notify_cancel()  # from here on nobody can cancel it

    def ask() -> None:
        try:
            answer.set_result(call())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return await asyncio.wrap_future(answer)


def _job(details: Any) -> SubmittedJob:
    state: State = details.status.value.lower()
    return SubmittedJob(
        id=details.submission_id or details.job_id,
        state=state,
        entry_point=details.entrypoint,
        name=(details.metadata or {}).get("job_name", ""),
        started=details.start_time / 1000 if details.start_time else None,
        ended=details.end_time / 1000 if details.end_time else None,
        exit_code=details.driver_exit_code,
        message=details.message or "",
        stop_seconds=stop_seconds(details.runtime_env),
    )
