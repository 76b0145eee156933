"""`jobs`, `status`, `logs` and `stop`: what was submitted to a cluster."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from trainyard.cli.options import Format, add
from trainyard.errors import RunError

if TYPE_CHECKING:
    from trainyard.cluster.jobs import Jobs
    from trainyard.cluster.submission import SubmittedJob

Dashboard = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="The dashboard of the cluster, such as http://head:8265. Else RAY_API_SERVER_ADDRESS.",
    ),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Of a submitted job, as `trainyard jobs` lists it.")]

INTERRUPTED = 130
KILL_SECONDS = 30
"""For Ray to kill a job that did not end in time, and to say so."""


def add_to(app: typer.Typer) -> None:
    add(app, jobs, status, logs, stop)


def jobs(address: Dashboard = None, output: Format = "text") -> None:
    """List what was submitted to a cluster, the newest first.

    \b
    Example:
      trainyard jobs --address http://head:8265
    """
    from trainyard.cli.printing import as_json, table, terminal_width
    from trainyard.cluster.jobs import Jobs

    found = Jobs.at(address).all()
    if output == "json":
        print(as_json([asdict(job) for job in found], indent=2))
        return
    if not found:
        print("Nothing was submitted yet.")
        return
    rows = [[job.id, job.state, _clock(job.started), _took(job), _exit(job), job.entry_point] for job in found]
    lines = table(["id", "state", "started", "time", "exit code", "entry point"], rows, left=[0, 1, 2, 5])
    print("\n".join(line[: terminal_width()] for line in lines))


def status(id: Id, address: Dashboard = None, output: Format = "text") -> None:
    """Say how a submitted job is.

    \b
    Example:
      trainyard status digits-cnn-20260131-120000 --address http://head:8265
    """
    from trainyard.cli.printing import as_json
    from trainyard.cluster.jobs import Jobs

    cluster = Jobs.at(address)
    job = cluster.get(id)
    if output == "json":
        print(as_json(asdict(job), indent=2))
        return
    facts = {
        "state": f"{job.state} (exit code {job.exit_code})" if job.exit_code else job.state,
        "name": job.name,
        "started": _clock(job.started),
        "time": _took(job),
        "entry point": job.entry_point,
    }
    print("\n".join(f"{what:<12} {fact}" for what, fact in facts.items() if fact))
    if job.state == "failed" and job.exit_code is None:
        print(job.message)
    print("\n".join(ways_on(job.id, cluster, over=job.over)))


def logs(
    id: Id,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Also what is still to come; end with the job's exit code.")
    ] = False,
    address: Dashboard = None,
) -> None:
    """Print what a submitted job has printed.

    With -f until it is over; Ctrl-C leaves it running.

    \b
    Example:
      trainyard logs digits-cnn-20260131-120000 -f --address http://head:8265
    """
    from trainyard.cluster.jobs import Jobs

    cluster = Jobs.at(address)
    if follow:
        raise typer.Exit(follow_job(cluster, id))
    try:
        print(cluster.log(id), end="", flush=True)
    except BrokenPipeError:
        raise typer.Exit(_cut_off()) from None


def stop(id: Id, address: Dashboard = None) -> None:
    """Stop a submitted job, and wait until it has ended.

    It ends as after Ctrl-C: MLflow is told, and --resume goes on with it.

    \b
    Example:
      trainyard stop digits-cnn-20260131-120000 --address http://head:8265
    """
    from trainyard.cluster.jobs import Jobs

    with interruptible(f"{id} was not asked to stop.") as known:
        cluster = Jobs.at(address)
        job = cluster.get(id)
        if job.over:
            print(f"{id} had ended before: {job.state}.")
            return
        known.say(f"It is not known whether {id} was asked to stop.", *ways_on(id, cluster))
        cluster.stop(id)
        known.say(f"{id} is being stopped, and ends by itself.", *ways_on(id, cluster)[:1])
        print(f"Stopping {id}; it has {job.stop_seconds} s to tell MLflow.", file=sys.stderr, flush=True)
        job = cluster.wait(id, seconds=job.stop_seconds + KILL_SECONDS)
    if not job.over:
        raise RunError(f"{id} is still {job.state}. Look at what it says: {cluster.command('logs', id)}")
    print(f"{id}: {job.state}.")


class Known:
    """What is known of that which a command asks a cluster for, as far as it has come."""

    def __init__(self, *lines: str) -> None:
        self.lines: Sequence[str] = lines

    def say(self, *lines: str) -> None:
        self.lines = lines


@contextlib.contextmanager
def interruptible(*lines: str) -> Iterator[Known]:
    """A command that Ctrl-C ends with what is then known, at first these lines: the cluster may have heard it."""
    known = Known(*lines)
    try:
        yield known
    except KeyboardInterrupt:
        print("\n".join(["\nInterrupted.", *known.lines]), file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def follow_job(cluster: "Jobs", id: str) -> int:
    """Show what it prints until it is over; its exit code, or 130 after Ctrl-C, which leaves it running."""
    try:
        job = cluster.follow(id, lambda text: print(text, end="", flush=True))
    except KeyboardInterrupt:
        print("\n".join([f"\n{id} goes on.", *ways_on(id, cluster)]), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return _cut_off()
    if remark := _remark(job):
        print(remark, file=sys.stderr)
    return job.follower_exit_code


def _cut_off() -> int:
    """After `| head` has seen enough: what is left in the buffer goes nowhere. The exit code of SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _remark(job: "SubmittedJob") -> str:
    """What the log itself doesn't say of its end."""
    if job.state == "stopped":
        return f"{job.id} was stopped."
    if job.state == "failed" and job.exit_code is None:
        return f"{job.id} failed, without an exit code: {job.message}"
    if job.exit_code == 127 or "No module named trainyard" in job.message:
        return f"{job.id}: the Python on the head's PATH has no trainyard. Start the cluster where it is installed."
    return ""


def ways_on(id: str, cluster: "Jobs", *, over: bool = False) -> list[str]:
    """What one may do next about a job, as commands to be copied."""
    if over:
        return [f"Its log:    {cluster.command('logs', id)}"]
    return [f"Follow it:  {cluster.command('logs', id, '-f')}", f"Stop it:    {cluster.command('stop', id)}"]


def _clock(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds).isoformat(sep=" ", timespec="seconds")


def _took(job: "SubmittedJob") -> str:
    from trainyard.cli.printing import duration

    return duration(None if job.started is None else (job.ended or time.time()) - job.started)


def _exit(job: "SubmittedJob") -> str:
    return "-" if job.exit_code is None else str(job.exit_code)
