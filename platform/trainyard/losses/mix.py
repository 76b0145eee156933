"""A job's loss: the weighted sum of its terms."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainyard.losses.terms import CPU, BinaryCrossEntropy, CrossEntropy, Focal, Term
from trainyard.spec import loss as spec


class Mix:
    """The weights of a loss, and the weighted sum of values that are given by name."""

    def __init__(self, loss: spec.Loss) -> None:
        self.weights = {name: term.weight for name, term in loss.terms().items()}
        self.active_weights = {name: weight for name, weight in self.weights.items() if weight}

    def mixed(self, values: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and the value of each active term, before its weight and detached.

        values: scalars of all active terms, and maybe of others. Those enter with the weight 0, as
        DistributedDataParallel expects a gradient of whatever the model answers with.
        """
        weights = {name: self.active_weights.get(name, 0.0) for name in values}
        weighted = [value if weights[name] == 1 else weights[name] * value for name, value in values.items()]
        return sum(weighted[1:], weighted[0]), {name: values[name].detach() for name in self.active_weights}

    def live_values(self) -> dict[str, object]:
        """The settings that the mix works with, by their paths in the job."""
        return {f"loss.{name}.weight": weight for name, weight in self.weights.items()}


class LossMix(Mix):
    """The weighted sum of terms of logits, in float32 whatever the precision of the forward pass.

    Terms whose weight is zero are not computed.
    """

    def __init__(
        self,
        loss: spec.Loss,
        class_totals: Sequence[int],
        device: torch.device = CPU,
        *,
        positive: int | None = None,
    ) -> None:
        """class_totals: rows, or pixels, of each class in the training split. device: where logits will be.

        positive: index of the class that matters, if there is one.
        """
        super().__init__(loss)
        self.terms = {name: _build(term, class_totals, device, positive) for name, term in loss.terms().items()}

    def __call__(
        self, logits: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Of logits, class indexes and the weights of samples, see Term."""
        logits = logits.float()
        return self.mixed({name: self.terms[name](logits, target, weights) for name in self.active_weights})

    def live_values(self) -> dict[str, object]:
        values = super().live_values()
        for name, term in self.terms.items():
            values |= {f"loss.{name}.{setting}": value for setting, value in term.live_values().items()}
        return values


def _build(term: spec.Term, class_totals: Sequence[int], device: torch.device, positive: int | None) -> Term:
    match term:
        case spec.BinaryCrossEntropy():
            return BinaryCrossEntropy(term, class_totals, device, positive)
        case spec.CrossEntropy():
            return CrossEntropy(term, class_totals, device)
        case spec.Focal():
            return Focal(term, class_totals, device)
    raise AssertionError(f"no loss term of logits for {type(term).__name__}")
