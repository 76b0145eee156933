"""What is recorded when a sweep or a single training begins, and must still hold when it goes on."""

from collections.abc import Mapping, Sequence

from trainyard.data.manifest import Manifest
from trainyard.errors import UsageError
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.tracking.environment import describe_environment
from trainyard.tracking.events import Event, SweepStarted

FEATURE_WEIGHTS = "trainyard.feature_weights"
"""The tag of what tells the weights that features are extracted with apart from any others."""


def opening(name: str, job: Job, space: Space | None, manifest: Manifest) -> SweepStarted:
    """The specs as they were resolved, the environment, the git commit, the data's fingerprint and that of features.

    TrialError if the file of their weights can't be read.
    """
    environment = describe_environment(job.directory)
    return SweepStarted(
        name=name,
        job=job.to_dict(),
        space=None if space is None else space.to_dict(),
        objectives=[(objective.metric, objective.mode) for objective in job.objectives],
        tags={**environment.tags(), "trainyard.data_fingerprint": manifest.fingerprint, **_features(job)},
        environment=environment.text(),
    )


def require_same_features(job: Job, past: Sequence[Event], name: str) -> None:
    """UsageError if features were extracted with other weights when the sweep began: its trials would not compare."""
    began = [event.tags for event in past if isinstance(event, SweepStarted)]
    now = _features(job)
    if not began or not now:
        return
    then, weights = began[0].get(FEATURE_WEIGHTS), now[FEATURE_WEIGHTS]
    if then != weights:
        raise UsageError(
            f"{name} began with other weights of model.features than are there now: {then}, now {weights}. Put the "
            "former ones back, or start anew under another name."
        )


def _features(job: Job) -> Mapping[str, str]:
    """By its tag, what the features of the job follow from besides its specs and data; nothing if it has none."""
    if not job.model.fitted:
        return {}
    from trainyard.training.svm.features import weights_of

    return {FEATURE_WEIGHTS: weights_of(job)}
