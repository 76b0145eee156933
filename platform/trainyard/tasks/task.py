"""What training needs to know of a task."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from trainyard.data.augment import EpochDraws
from trainyard.losses.mix import Mix

if TYPE_CHECKING:  # brings what draws along
    from trainyard.data.strips import Strip

Batch = Mapping[str, Tensor]
"""A batch of the data set's columns, on the device of the model. `image` is float (N, C, H, W) in [0, 1]."""

Output = Any
"""What a model answers with: tensors, or lists, tuples and mappings of them, as its task says."""


class Meter(Protocol):
    """Adds up metrics over the batches of an epoch, on the device, without waiting for it.

    Whoever runs the workers makes the whole of their parts before `compute`. A meter inherits what it has no use for.
    """

    def reset(self) -> None: ...

    def update(self, output: Output, batch: Batch) -> None:
        """output: the model's answer to `batch`, detached."""
        ...

    def sums(self) -> list[Tensor]:
        """What is added up over the workers, its content then replaced by the totals: tensors of the same shapes and
        order on every worker, also on one that saw no batch."""
        return []

    def rows(self) -> list[Tensor]:
        """What is joined over the workers along the first axis: tensors that differ in it only, in the same order."""
        return []

    def set_rows(self, rows: Sequence[Tensor]) -> None:
        """What `rows` gave, joined in the order of the workers' ranks."""
        return

    def compute(self) -> dict[str, float]:
        """Metrics by name, without the name of the split. Waits for the device."""
        ...


class Task(Protocol):
    """What a batch, a loss and a metric mean. One object serves one trial, on one device.

    It holds no random state and nothing that training changes: a trial's state is complete without it.
    """

    outputs: int
    """What the model is asked for: `outputs` of its function."""

    @property
    def loss(self) -> Mix: ...

    metrics: frozenset[str]
    """Full names, such as `val/accuracy`, of the metrics that can be reported for the data set at hand."""

    def inputs(self, batch: Batch) -> tuple[Any, ...]:
        """What the model is called with, to train and to evaluate: the images and what the task gives beside them."""
        ...

    def check_output(self, output: object, batch: Batch) -> None:
        """TrialError with what is expected and what was given if an answer to a batch, in evaluation, is of no use."""
        ...

    def augment(self, batch: Batch, draws: EpochDraws, step: int) -> Batch:
        """The batch, its images uint8 as stored, with images in [0, 1]: they and what goes with them changed alike."""
        ...

    def losses(self, output: Output, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss of the batch, and the values of its active terms, detached."""
        ...

    def pictures(self, output: Output, batch: Batch) -> "list[Strip]":
        """For each image of an evaluated batch what is known of it and what is answered, side by side.

        output: the model's answer to it. None of a task whose facts say that it has no pictures. Imports what draws, so
        it is called by whoever draws.
        """
        ...

    def training_meter(self) -> Meter:
        """Metrics so cheap that they are added up in each training step."""
        ...

    def evaluation_meter(self) -> Meter:
        """All metrics of the task. Making one may import a metrics library, so do it once training has begun."""
        ...
