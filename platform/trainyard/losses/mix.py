"""A job's loss: the weighted sum of its terms."""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainyard.losses.terms import CPU, CrossEntropy, Focal, Term
from trainyard.spec import loss as spec


class LossMix:
    """The weighted sum of the terms whose weight isn't zero, in float32 whatever the precision of the forward pass."""

    def __init__(self, loss: spec.Loss, class_counts: Sequence[int], device: torch.device = CPU) -> None:
        """class_counts: rows of each class in the training split. device: where logits will be."""
        stated = loss.terms()
        self.weights = {name: term.weight for name, term in stated.items()}
        self.terms = {name: _build(term, class_counts, device) for name, term in stated.items()}
        self.active_weights = {name: weight for name, weight in self.weights.items() if weight}

    def __call__(self, logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and the value of each active term, before its weight and detached."""
        logits = logits.float()
        values = {name: self.terms[name](logits, target) for name in self.active_weights}
        weighted = [
            values[name] if weight == 1 else weight * values[name] for name, weight in self.active_weights.items()
        ]
        return sum(weighted[1:], weighted[0]), {name: value.detach() for name, value in values.items()}

    def live_values(self) -> dict[str, object]:
        """The settings that the mix works with, by their paths in the job."""
        values: dict[str, object] = {}
        for name, term in self.terms.items():
            settings = {"weight": self.weights[name], **term.live_values()}
            values.update({f"loss.{name}.{setting}": value for setting, value in settings.items()})
        return values


def _build(term: spec.Term, class_counts: Sequence[int], device: torch.device) -> Term:
    match term:
        case spec.CrossEntropy():
            return CrossEntropy(term, class_counts, device)
        case spec.Focal():
            return Focal(term, class_counts, device)
    raise AssertionError(f"no loss term for {type(term).__name__}")
