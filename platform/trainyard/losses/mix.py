"""A job's loss: the weighted sum of its terms."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainyard.losses.answer import Answer
from trainyard.losses.class_weights import ClassCounts
from trainyard.losses.lovasz import Lovasz
from trainyard.losses.pointwise import BinaryCrossEntropy, CrossEntropy, Focal
from trainyard.losses.regions import Dice, Jaccard, Tversky
from trainyard.losses.terms import CPU, Term
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
        counts: ClassCounts,
        device: torch.device = CPU,
        *,
        positive: int | None = None,
    ) -> None:
        """counts: of the training split. device: where logits will be. positive: index of the class that matters, if
        there is one."""
        super().__init__(loss)
        self.terms = {name: _build(term, counts, device, positive) for name, term in loss.terms().items()}

    def __call__(
        self, logits: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over images, and the mean of each active term.

        logits, target: see Answer. weights: (N,), by which each image's loss is multiplied before the mean; None: 1.
        """
        answer = Answer(logits.float(), target)
        losses = {name: self.terms[name](answer) for name in self.active_weights}
        return self.mixed({name: _mean(each, weights) for name, each in losses.items()})

    def live_values(self) -> dict[str, object]:
        values = super().live_values()
        for name, term in self.terms.items():
            values |= {f"loss.{name}.{setting}": value for setting, value in term.live_values().items()}
        return values


def _mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """0 of no image at all."""
    weighted = losses if weights is None else weights * losses
    return weighted.sum() / max(1, len(losses))


def _build(term: spec.Term, counts: ClassCounts, device: torch.device, positive: int | None) -> Term:
    match term:
        case spec.CrossEntropy():
            return CrossEntropy(term, counts, device)
        case spec.BinaryCrossEntropy():
            return BinaryCrossEntropy(term, counts, device, positive)
        case spec.Focal():
            return Focal(term, counts, device)
        case spec.Dice():
            return Dice(term)
        case spec.Jaccard():
            return Jaccard(term)
        case spec.Tversky():
            return Tversky(term)
        case spec.Lovasz():
            return Lovasz(term)
    raise AssertionError(f"no loss term of logits for {type(term).__name__}")
