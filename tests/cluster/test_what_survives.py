"""The head of a cluster, the supervisor of a job, the tracking server: each dies, and no epoch is lost or doubled."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from trainyard.errors import UsageError
from trainyard.spec.job import Job
from trainyard.tracking.compare import read_sweep
from trainyard.tracking.events import TrialEnded
from trainyard.tracking.journal import Journal
from trainyard.tracking.uri import check_reachable

from ..sweep.test_survival import NAME, Place, half_way
from ..tracking.test_server import Server
from .head import Head, ray_head

pytestmark = [pytest.mark.slow, pytest.mark.own_cluster, pytest.mark.timeout(300)]

SUPERVISOR = "ray::JobSupervisor"


class Submitted:
    """A sweep as a job of a head: its driver is a process of the supervisor's."""

    def __init__(self, head: Head, place: Place, *arguments: str) -> None:
        self._head = head
        self._client = JobSubmissionClient(head.address)
        command = [sys.executable, "-m", "trainyard", "sweep", *arguments, "--results", str(place.results)]
        self.id = self._submit(f"cd {place.home} && exec {' '.join(command)}")

    def _submit(self, entrypoint: str) -> str:
        """The dashboard answers before the node's agent, which starts the supervisor, has told of itself."""
        end = time.monotonic() + 60
        while True:
            try:
                return str(self._client.submit_job(entrypoint=entrypoint))
            except RuntimeError as error:
                if "No available agent" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(1)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 150) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.log()
            time.sleep(0.1)

    def runs(self) -> bool:
        return self._client.get_job_status(self.id) in (JobStatus.PENDING, JobStatus.RUNNING)

    def status(self) -> JobStatus:
        return self._client.get_job_status(self.id)

    def log(self) -> str:
        return str(self._client.get_job_logs(self.id))

    def processes(self, name: str) -> list[psutil.Process]:
        """Those of the head whose command line has this in it."""
        found = []
        for process in psutil.Process(self._head.process.pid).children(recursive=True):
            try:
                if name in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found


def some_ended(place: Place) -> Callable[[], bool]:
    return lambda: place.journal.exists() and half_way(2)(list(Journal.read(place.journal)))


@pytest.fixture
def place(tmp_path: Path, digits_job: Job, digits: Path) -> Place:
    return Place(tmp_path, digits_job, digits)


def test_a_sweep_whose_job_supervisor_dies_is_resumed_by_another_job(place: Place) -> None:
    with ray_head(cpus=2) as head:
        job = Submitted(head, place, "job.yaml", "space.yaml", "--name", NAME)
        job.wait_for(some_ended(place))
        drivers = job.processes("trainyard sweep")
        assert drivers
        (supervisor,) = job.processes(SUPERVISOR)
        supervisor.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(drivers, timeout=30)
        assert not alive, "the driver outlived its supervisor, and nobody could stop it"
        job.wait_for(lambda: not job.runs())
        assert job.status() == JobStatus.FAILED
        again = Submitted(head, place, "--resume", NAME)
        again.wait_for(lambda: not again.runs())
        assert again.status() == JobStatus.SUCCEEDED, again.log()
    place.assert_complete()


def test_a_sweep_whose_head_dies_is_resumed_on_another_head(place: Place) -> None:
    with ray_head(cpus=2) as head:
        job = Submitted(head, place, "job.yaml", "space.yaml", "--name", NAME)
        job.wait_for(some_ended(place))
        everyone = [*psutil.Process(head.process.pid).children(recursive=True), psutil.Process(head.process.pid)]
        for process in everyone:
            process.kill()
        psutil.wait_procs(everyone[:-1], timeout=30)
    with ray_head(cpus=2) as head:
        again = Submitted(head, place, "--resume", NAME)
        again.wait_for(lambda: not again.runs())
        assert again.status() == JobStatus.SUCCEEDED, again.log()
    place.assert_complete()


def answers(uri: str) -> bool:
    try:
        check_reachable(uri)
    except UsageError:
        return False
    return True


def tracked_sweep(place: Place, server: Server) -> subprocess.Popen[str]:
    """Started by the command of a user who has a tracking server."""
    end = time.monotonic() + 60
    while not answers(server.uri):
        assert time.monotonic() < end, "the tracking server did not start"
        time.sleep(0.5)
    command = [sys.executable, "-m", "trainyard", "sweep", "job.yaml", "space.yaml", "--name", NAME]
    return subprocess.Popen(
        [*command, "--results", str(place.results)],
        cwd=place.home,
        env={**os.environ, "MLFLOW_TRACKING_URI": server.uri},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(events: list[object]) -> int:
    return sum(isinstance(event, TrialEnded) for event in events)


def test_a_sweep_goes_on_without_its_tracking_server_and_tells_it_all_when_it_is_back(
    place: Place, tmp_path: Path
) -> None:
    server = Server(f"sqlite:///{tmp_path / 'server.db'}", tmp_path)
    with contextlib.ExitStack() as stack:
        stack.callback(server.kill)
        server.start()
        driver = tracked_sweep(place, server)
        stack.callback(driver.kill)
        place.wait_for(half_way(2), driver)
        server.kill()
        before = ended(list(Journal.read(place.journal)))
        place.wait_for(lambda events: ended(events) >= before + 2, driver)
        server.start()
        output, _ = driver.communicate(timeout=150)
        assert driver.returncode == 0, output
        told = read_sweep(server.uri, NAME)
    assert told.state == "finished"
    assert told.states == {"finished": 6}
    assert [row.epochs for row in told.rows] == [20] * 6
