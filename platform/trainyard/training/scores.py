"""The loss and the metrics of a split in an epoch, added up on the device."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainyard.tasks.task import Batch, Meter, Output
from trainyard.training.member import Member
from trainyard.training.workers import add_up, join


class Scores:
    """The loss, its terms and the metrics over all rows that any worker was given.

    Nothing waits for the device until `loss` or `compute`, which every worker calls at the same point.
    """

    def __init__(self, split: str, weights: Mapping[str, float], meter: Meter, member: Member) -> None:
        """split: what the names begin with. weights: of the loss terms that `add` will be given."""
        self._split = split
        self._weights = dict(weights)
        self._meter = meter
        self._member = member
        self._term_sums = torch.zeros(len(weights), dtype=torch.float64, device=member.torch_device)
        self._rows = 0

    def reset(self) -> None:
        self._term_sums.zero_()
        self._rows = 0
        self._meter.reset()

    def add(self, output: Output, batch: Batch, terms: Mapping[str, Tensor]) -> None:
        """output: detached. terms: the mean of each term over the batch."""
        rows = len(batch["image"])
        means = tuple(terms.values())
        self._term_sums.add_(means[0] if len(means) == 1 else torch.stack(means), alpha=rows)
        self._rows += rows
        self._meter.update(output, batch)

    def loss(self) -> float:
        """The mean loss so far."""
        sums = self._sums()
        add_up([sums], self._member)
        return self._mixed(self._means(sums))

    def compute(self) -> dict[str, float]:
        """`<split>/loss`, `<split>/loss/<term>` before its weight, its share of the loss, and the task's metrics."""
        sums = self._sums()
        add_up([sums, *self._meter.sums()], self._member)
        if rows := self._meter.rows():
            self._meter.set_rows(join(rows, self._member))
        means = self._means(sums)
        terms = {f"loss/{name}": mean for name, mean in means.items()}
        values = {"loss": self._mixed(means), **terms, **self._shares(means), **self._meter.compute()}
        return {f"{self._split}/{name}": value for name, value in values.items()}

    def _sums(self) -> Tensor:
        """Of each term over the rows, and the rows."""
        return torch.cat([self._term_sums, self._term_sums.new_tensor([self._rows])])

    def _means(self, sums: Tensor) -> dict[str, float]:
        *totals, rows = sums.tolist()
        return {name: total / rows for name, total in zip(self._weights, totals, strict=True)}

    def _mixed(self, means: Mapping[str, float]) -> float:
        return sum(weight * means[name] for name, weight in self._weights.items())

    def _shares(self, means: Mapping[str, float]) -> dict[str, float]:
        """`loss_share/<term>`: the share of a weighted term in the loss. None for a single one, or if all are 0."""
        loss = self._mixed(means)
        if len(self._weights) < 2 or loss == 0:
            return {}
        return {f"loss_share/{name}": weight * means[name] / loss for name, weight in self._weights.items()}
