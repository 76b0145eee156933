"""What is recorded when a sweep or a single training begins, and must still hold when it goes on."""

from collections.abc import Mapping, Sequence

from trainyard.data.manifest import Manifest
from trainyard.errors import UsageError
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.tracking.environment import describe_environment
from trainyard.tracking.events import Event, SweepStarted

FINGERPRINT = "trainyard.data_fingerprint"
"""The tag of what tells the content of the data set apart from any other."""

EXTRACTION_WEIGHTS = "trainyard.extraction_weights"
"""The tag of what tells the weights that features or embeddings are extracted with apart from any others."""


def opening(name: str, job: Job, space: Space | None, manifest: Manifest) -> SweepStarted:
    """The specs as they were resolved, the environment, the git commit, the fingerprints of data and of weights.

    StorageError if the file of their weights can't be read.
    """
    environment = describe_environment(job.directory)
    return SweepStarted(
        name=name,
        job=job.to_dict(),
        space=None if space is None else space.to_dict(),
        objectives=[(objective.metric, objective.mode) for objective in job.objectives],
        tags={**environment.tags(), FINGERPRINT: manifest.fingerprint, **_extraction(job)},
        environment=environment.text(),
    )


def require_same_extraction(job: Job, past: Sequence[Event], name: str) -> None:
    """UsageError if other weights were there to extract with when the sweep began: its trials would not compare."""
    began = [event.tags for event in past if isinstance(event, SweepStarted)]
    now = _extraction(job)
    if not began or not now:
        return
    then, weights = began[0].get(EXTRACTION_WEIGHTS), now[EXTRACTION_WEIGHTS]
    if then != weights:
        raise UsageError(
            f"{name} began with other weights to extract with than are there now: {then}, now {weights}. Put the "
            "former ones back, or start anew under another name."
        )


def require_same_data(manifest: Manifest, past: Sequence[Event], where: str) -> None:
    """UsageError if the data set has another content than when the sweep began, or went on: what is held back now may
    be what was trained on then. where: the data set, for the message."""
    then = [event.tags.get(FINGERPRINT, "") for event in past if isinstance(event, SweepStarted)][-1:]
    if then and then[0] and then[0] != manifest.fingerprint:
        raise UsageError(
            f"{where} is not what was trained on: its fingerprint was {then[0][:16]}, now it is "
            f"{manifest.fingerprint[:16]}. Another split may hold images that were trained on. Import the former "
            "source again, in the same way, or train anew."
        )


def _extraction(job: Job) -> Mapping[str, str]:
    """By its tag, what is extracted follows from besides specs and data; nothing for a job of which nothing is."""
    if not job.model.extracts:
        return {}
    from trainyard.training.extraction.extractor import weights_of

    return {EXTRACTION_WEIGHTS: weights_of(job)}
