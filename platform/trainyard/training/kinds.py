"""The kinds of trials: trained step by step on images, or fitted at once on features."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from trainyard.data.location import Location
from trainyard.data.split import TrialData
from trainyard.spec.job import Job
from trainyard.training.gradients.health import Finding
from trainyard.training.member import Member
from trainyard.training.pictures import Drawn
from trainyard.training.trial import Trial

if TYPE_CHECKING:  # decodes images, which only jobs of its kind need
    from trainyard.training.svm.features import FeatureData

AnyData: TypeAlias = "TrialData | FeatureData"
"""What a trial is trained on: FeatureData where the model of its job is fitted at once."""


class AnyTrial(Protocol):
    """One trial on one worker, epoch by epoch. Whatever its model raises arrives as a TrialError."""

    history: list[dict[str, float]]
    """The metrics of every finished epoch."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found to be wrong with the training so far, the earliest first."""
        ...

    @property
    def done(self) -> str | None:
        """Why there is no further epoch; None while there is."""
        ...

    def epoch(self) -> dict[str, float]:
        """Train an epoch, evaluate, and return the metrics. Diverged if the numbers have become useless."""
        ...

    @property
    def draws(self) -> bool:
        """Whether there are pictures to draw."""
        ...

    def draw(self, folder: Location) -> Drawn:
        """Write pictures of what is answered now to a folder, by one worker. Never raises: what goes wrong is told."""
        ...

    def state(self) -> dict[str, Any]:
        """All that a later trial of the job needs to go on as this one would: CPU tensors and plain values."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken. RunError if it doesn't fit."""
        ...

    def live_values(self) -> dict[str, Any]:
        """The settings by path of the job, read back from the objects that work with them."""
        ...

    def close(self) -> None:
        """Let go of everything. The trial can't be used afterwards."""
        ...


def build_trial(job: Job, data: AnyData, *, member: Member, directory: Path | None) -> AnyTrial:
    """The kind of trial that the job's model asks for. DataError if the data doesn't fit the job."""
    if job.model.fitted:
        from trainyard.training.svm.features import FeatureData
        from trainyard.training.svm.trial import SvmTrial

        assert isinstance(data, FeatureData)
        return SvmTrial(job, data)
    assert isinstance(data, TrialData)
    return Trial(job, data, member=member, directory=directory)
