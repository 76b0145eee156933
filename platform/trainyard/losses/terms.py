"""The terms of a loss. Each is a plain mean over samples: the mean over workers is the loss of the whole batch."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from trainyard.spec import loss as spec

CPU = torch.device("cpu")


class Term(Protocol):
    """One term of a mix: the mean over the samples of a batch, a scalar. Keeps no state from batch to batch."""

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor: ...

    def live_values(self) -> dict[str, object]:
        """The settings that it works with, by their names in the job."""
        ...


class CrossEntropy:
    """Cross-entropy of logits (N, K, ...) and class indexes (N, ...), with torch's label smoothing and class weights.

    Unlike torch's mean, the weighted mean is not divided by the weights of the batch at hand.
    """

    def __init__(self, settings: spec.CrossEntropy, class_counts: Sequence[int], device: torch.device = CPU) -> None:
        self.label_smoothing = settings.label_smoothing
        self.class_weights = _class_weights(settings.class_weights, class_counts, device)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        weights, smoothing = self.class_weights, self.label_smoothing
        if weights is None:
            return functional.cross_entropy(logits, target, label_smoothing=smoothing)
        return functional.cross_entropy(logits, target, weights, reduction="none", label_smoothing=smoothing).mean()

    def live_values(self) -> dict[str, object]:
        return {"class_weights": _named(self.class_weights), "label_smoothing": self.label_smoothing}


class Focal:
    """Focal loss (Lin et al. 2017, equation 5): weight x (1 - p)^gamma x -log(p), p being the true class's."""

    def __init__(self, settings: spec.Focal, class_counts: Sequence[int], device: torch.device = CPU) -> None:
        self.gamma = settings.gamma
        self.class_weights = _class_weights(settings.class_weights, class_counts, device)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        cross_entropy = functional.cross_entropy(logits, target, reduction="none")
        if self.gamma:
            # 1 - p by expm1, as 1 - exp(-x) loses all digits near p = 1. Above 0, as the slope of 0^gamma is infinite.
            missing = (-torch.expm1(-cross_entropy)).clamp_min(1e-12)
            cross_entropy = missing.pow(self.gamma) * cross_entropy
        if self.class_weights is not None:
            cross_entropy = self.class_weights[target] * cross_entropy
        return cross_entropy.mean()

    def live_values(self) -> dict[str, object]:
        return {"gamma": self.gamma, "class_weights": _named(self.class_weights)}


def inverse_frequency(class_counts: Sequence[int]) -> Tensor:
    """Class weights as 1 / count, with mean 1 over the rows, float32 (K,); 1 for a class without rows."""
    counts = torch.tensor(class_counts, dtype=torch.float64)
    present = counts > 0
    weights = torch.ones_like(counts)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights.float()


def _class_weights(name: str, class_counts: Sequence[int], device: torch.device) -> Tensor | None:
    return inverse_frequency(class_counts).to(device) if name == "inverse_frequency" else None


def _named(class_weights: Tensor | None) -> str:
    return "none" if class_weights is None else "inverse_frequency"
