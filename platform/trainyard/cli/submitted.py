"""What is different for a command that runs as the entry point of a submitted job."""

import os
import shlex

from trainyard.cluster.submission import SUBMITTED_AS, SUBMITTED_WITH
from trainyard.data.location import Location
from trainyard.errors import UsageError


def submitted() -> bool:
    """Whether this process was started by `trainyard submit`."""
    return bool(os.environ.get(SUBMITTED_AS))


def submitted_with() -> list[str]:
    """The options of `trainyard submit` that are to be given again."""
    return shlex.split(os.environ.get(SUBMITTED_WITH, ""))


def require_lasting(results: Location) -> None:
    """UsageError where results of a submitted job would lie in its working directory, which Ray deletes after it."""
    if submitted() and results.local and not results.shown.startswith("/"):
        raise UsageError(
            f"--results is missing: {results} would be in the folder that Ray deletes after a submitted job. Name a "
            "place that all nodes see, such as --results /shared/results or s3://bucket/results, or set "
            "TRAINYARD_RESULTS on the nodes."
        )
