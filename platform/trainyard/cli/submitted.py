"""What is different for a command that runs as the entry point of a submitted job."""

import os

from trainyard.cluster.submission import SUBMITTED_AS
from trainyard.data.location import Location
from trainyard.errors import UsageError


def submitted() -> bool:
    """Whether this process was started by `trainyard submit`."""
    return bool(os.environ.get(SUBMITTED_AS))


def require_lasting(results: Location) -> None:
    """UsageError where results of a submitted job would lie in its working directory, which Ray deletes after it."""
    if submitted() and results.local and not results.shown.startswith("/"):
        raise UsageError(
            f"--results is missing: {results} would be in the folder that Ray deletes after a submitted job. Name a "
            "place that all nodes see, such as --results /shared/results or s3://bucket/results, or set "
            "TRAINYARD_RESULTS on the nodes."
        )
