"""What is recorded when a sweep or a single training begins."""

from trainyard.data.manifest import Manifest
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.tracking.environment import describe_environment
from trainyard.tracking.events import SweepStarted


def opening(name: str, job: Job, space: Space | None, manifest: Manifest) -> SweepStarted:
    """The specs as they were resolved, the environment, the git commit and the data's fingerprint."""
    environment = describe_environment(job.directory)
    return SweepStarted(
        name=name,
        job=job.to_dict(),
        space=None if space is None else space.to_dict(),
        objectives=[(objective.metric, objective.mode) for objective in job.objectives],
        tags={**environment.tags(), "trainyard.data_fingerprint": manifest.fingerprint},
        environment=environment.text(),
    )
