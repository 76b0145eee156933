"""What a Ray cluster is asked for when a job is submitted: an id, an entry point, an environment.

The entry point holds neither CPUs nor GPUs: it is the driver, and what trains are slots and crews.
"""

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from trainyard.cluster.confidential import is_secret, without_tokens
from trainyard.errors import UsageError

SUBMITTED_AS = "TRAINYARD_SUBMISSION"
"""The variable that tells an entry point that it is one, and by which id."""

SUBMITTED_WITH = "TRAINYARD_SUBMITTED_WITH"
"""The variable that tells it the options that a job like it is submitted with."""

STOP_SECONDS = 120
"""What a stopped driver has to tell MLflow that its runs have ended, unless `--env` says otherwise."""
RAYS_STOP_SECONDS = 3
"""What Ray gives a job that says nothing of it, as those have that were submitted by other means."""
STOP_SETTING = "RAY_JOB_STOP_WAIT_TIME_S"
"""Ray's variable for that."""

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Ids of submitted jobs. They are parts of URLs and names of log files on the head, which they must not lead out of."""

State = Literal["pending", "running", "stopped", "succeeded", "failed"]
ENDED: frozenset[State] = frozenset({"stopped", "succeeded", "failed"})

STOPPED = 130
"""Exit code of following a job that somebody stopped: its driver ended as after Ctrl-C."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A training or a sweep for a cluster.

    name: of the training or sweep, in results and MLflow. arguments: all that stands after the verb.
    environment: variables for the driver and all of its workers. Ray shows them to whoever sees the cluster.
    options: of `trainyard submit` itself, to be given again when it is resumed.
    """

    id: str
    verb: Literal["train", "sweep"]
    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    @property
    def entry_point(self) -> str:
        """The line that a shell on the head runs, in the folder of what was shipped."""
        return shlex.join(["python", "-m", "trainyard", self.verb, *self.arguments])

    @property
    def metadata(self) -> dict[str, str]:
        """What Ray keeps beside the job and shows on its dashboard."""
        return {"job_name": self.name, "trainyard": self.verb}

    def runtime_env(self, working_dir: str | None = None, packages: Collection[str] = ()) -> dict[str, Any]:
        """What Ray prepares on every node. working_dir: an archive. packages: folders of Python packages."""
        told = {STOP_SETTING: str(STOP_SECONDS), **self.environment, SUBMITTED_AS: self.id}
        if self.options:
            told[SUBMITTED_WITH] = shlex.join(self.options)
        wanted: dict[str, Any] = {"env_vars": told}
        if working_dir is not None:
            wanted["working_dir"] = working_dir
        if packages:
            wanted |= {"py_modules": list(packages), "excludes": ["__pycache__"]}
        return wanted


@dataclass(frozen=True, kw_only=True)
class SubmittedJob:
    """A job as the cluster knows it. Times are seconds since 1970; message is Ray's own.

    exit_code: of the entry point; None while it runs, and where it was stopped or never started. stop_seconds: that it
    has to end when it is stopped, until Ray kills it.
    """

    id: str
    state: State
    entry_point: str = ""
    name: str = ""
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    message: str = ""
    stop_seconds: int = STOP_SECONDS

    @property
    def over(self) -> bool:
        return self.state in ENDED

    @property
    def follower_exit_code(self) -> int:
        """With which code a command ends that followed this job to its end: with the job's own."""
        assert self.over, f"{self.id} is {self.state}"
        if self.state == "succeeded":
            return 0
        if self.state == "stopped":
            return STOPPED
        if self.exit_code is None:
            return 1
        return self.exit_code if self.exit_code >= 0 else 128 - self.exit_code  # negative: ended by that signal


def check_id(id: str) -> str:
    """The id, if it is one; UsageError otherwise."""
    if not ID.fullmatch(id):
        raise UsageError(
            f"an id must be 1 to 128 of letters, digits, '.', '_' and '-', beginning with one of the first two, "
            f"got {id!r}."
        )
    return id


def choose_id(wanted: str | None, name: str, taken: Mapping[str, State], *, resumed: bool = False) -> str:
    """The id to submit under: the one that the user wants, or the name of the run.

    A resumed run has the name of an earlier one: it gets the first free of `NAME-2`, `NAME-3`, ... UsageError if the
    id is taken: Ray keeps those of jobs that have ended, too.
    """
    if wanted is None and resumed:
        return next(id for number in count(1) if (id := name if number == 1 else f"{name}-{number}") not in taken)
    id = check_id(wanted or name)
    if id not in taken:
        return id
    way_out = "Choose another --id" if wanted else "Choose another --name, or its own --id"
    if taken[id] in ENDED:
        raise UsageError(f"the id {id} is taken: a job of that id has {taken[id]}. {way_out}.")
    raise UsageError(
        f"the id {id} is taken: a job of that id is {taken[id]}. {way_out}, or follow it: trainyard logs {id} -f."
    )


def variables(given: Collection[str]) -> dict[str, str]:
    """`NAME=VALUE` as a mapping. UsageError for what is none, and for names of secrets: Ray shows the values.

    No message has a value in it.
    """
    found: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            got = without_tokens(name) + ("=..." if equals else "")
            raise UsageError(f"--env must be NAME=VALUE, got {got!r}.")
        if is_secret(name, value):
            raise UsageError(
                f"--env {name}: looks like a secret, and Ray shows the environment of a job to whoever sees its "
                "dashboard. Set it on the nodes, where the cluster is started."
            )
        if name == STOP_SETTING and not value.isdecimal():
            raise UsageError(f"--env {name} must be a whole number of seconds, such as {name}=300.")
        found[name] = value
    return found


def stop_seconds(runtime_env: Mapping[str, Any] | None) -> int:
    """What a job has to end when it is stopped, by the environment that it was submitted with."""
    said = ((runtime_env or {}).get("env_vars") or {}).get(STOP_SETTING)
    if said is None:
        return RAYS_STOP_SECONDS
    # A proxy may have hidden the value.
    return int(said) if str(said).isdecimal() else STOP_SECONDS
