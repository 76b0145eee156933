"""Every error that a user is meant to read.

::

    TrainyardError              1   str(error) is what the user reads
    ├── SpecError               2   what was declared is wrong: all its problems at once
    ├── UsageError              2   asked for in a wrong way: a name in use, a folder that can't be written, no answer
    │   └── InfeasibleError     2   the cluster can never hold what the job asks for
    ├── DataError               2   a data set is missing, half-written or unreadable
    │   └── StorageError        2   what holds it, or weights, can't be read from this machine, or not now
    └── RunError                1   something that had started failed
        ├── TrialError          1   one trial failed: its model raised, it ran out of memory, ...
        │   └── Diverged        1   its loss became NaN or infinite
        └── TrackingError       1   records couldn't be delivered

The number is the exit code of the command that met the error.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar


class TrainyardError(Exception):
    """Base of all errors for users; `str(error)` says where, the rule, what was got and the way out."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True)
class Problem:
    """One thing wrong with what was declared.

    where: `jobs/x.yaml:16`, or `command line`.
    message: one sentence that names the path, the rule, what was got and the way out.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class SpecError(TrainyardError):
    """What was declared is wrong. Holds every problem that could be found, in the order of the files."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        assert self.problems, "a SpecError without problems"
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        closing = f"{count} problem{'s' if count > 1 else ''}. Nothing was started."
        return "\n".join([*map(str, self.problems), closing])


class UsageError(TrainyardError):
    """Asked for in a wrong way: a name in use, a folder that can't be written, a server that doesn't answer."""

    exit_code = 2


class InfeasibleError(UsageError):
    """The cluster can never hold what the job asks for."""


class DataError(TrainyardError):
    """A data set is missing, half-written or unreadable."""

    exit_code = 2


class StorageError(DataError):
    """What holds a data set or weights can't be read, from this machine or now: no doing of the trial that reads it.

    A bucket is away, a folder is not mounted, a file is damaged, a hub doesn't answer, what Ray held of it is lost.
    """


class RunError(TrainyardError):
    """Something that had started failed."""


class TrialError(RunError):
    """One trial failed, and the sweep goes on.

    reason: what MLflow and the table show; it names the file and line of the user's code where there is one.
    findings: what was found to be wrong with its training until then, a `Finding` of training.gradients each.
    """

    def __init__(self, reason: str, *, findings: tuple[Any, ...] = ()) -> None:
        self.reason = reason
        self.findings = findings
        super().__init__(reason)


class Diverged(TrialError):
    """The loss or a gradient of a trial became NaN or infinite, or exploded for good: its state is "diverged"."""


class TrackingError(RunError):
    """Records couldn't be delivered to the tracking server."""
