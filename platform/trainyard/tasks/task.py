"""What training needs to know of a task."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from trainyard.data.augment import EpochDraws
from trainyard.losses.mix import LossMix

Batch = Mapping[str, Tensor]
"""A batch of the data set's columns, on the device of the model. `image` is float (N, C, H, W) in [0, 1]."""


class Meter(Protocol):
    """Adds up metrics over the batches of an epoch, on the device, without waiting for it.

    The sums of the workers make the sum of the whole: `sums` are tensors of the same shapes and order on every
    worker, also on one that saw no batch, and whoever runs the workers may replace their content by the totals before
    `compute`.
    """

    def reset(self) -> None: ...

    def update(self, output: Tensor, batch: Batch) -> None:
        """output: the model's answer to `batch`, detached."""
        ...

    def sums(self) -> list[Tensor]: ...

    def compute(self) -> dict[str, float]:
        """Metrics by name, without the name of the split. Waits for the device."""
        ...


class Task(Protocol):
    """What a batch, a loss and a metric mean. One object serves one trial, on one device.

    It holds no random state and nothing that training changes: a trial's state is complete without it.
    """

    outputs: int
    """What the model is asked for: `outputs` of its function."""

    loss: LossMix

    metrics: frozenset[str]
    """Full names, such as `val/accuracy`, of the metrics that can be reported for the data set at hand."""

    def check_output(self, output: object, rows: int) -> None:
        """TrialError with the expected and the given shape if a model's answer to `rows` images is of no use."""
        ...

    def augment(self, batch: Batch, draws: EpochDraws, step: int) -> Batch:
        """The batch with its images, and whatever goes with them, changed alike."""
        ...

    def losses(self, output: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss of the batch, and the values of its terms, detached."""
        ...

    def training_meter(self) -> Meter:
        """Metrics so cheap that they are added up in each training step."""
        ...

    def evaluation_meter(self) -> Meter:
        """All metrics of the task. Making one may import a metrics library, so do it once training has begun."""
        ...
