"""The terms of a loss. Each is a plain mean over samples: the mean over workers is the loss of the whole batch.

A sample is an image. Where each of its pixels has a class, the image's loss is the mean over its labelled pixels, and 0
if it has none: each image counts the same, however much of it is void. The mean over all labelled pixels of a batch
could not be had from the means of workers, as these differ in labelled pixels.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from trainyard.spec import loss as spec

CPU = torch.device("cpu")

IGNORED = -100
"""In place of a pixel's class: it has none, and counts nowhere. What torch's cross_entropy leaves out by default."""


class Term(Protocol):
    """One term of a mix: the mean over the samples of a batch, a scalar. Keeps no state from batch to batch.

    logits: (N, K) with target int64 (N,), a class index for each image; or (N, K, H, W) with (N, H, W), a class index
    or IGNORED for each pixel. weights: (N,), by which each image's loss is multiplied before the mean; None: 1.
    BinaryCrossEntropy takes logits (N, 1).
    """

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor: ...

    def live_values(self) -> dict[str, object]:
        """The settings that it works with, by their names in the job."""
        ...


class CrossEntropy:
    """Cross-entropy with torch's label smoothing and class weights.

    Unlike torch's mean, the weighted mean is not divided by the weights of the batch at hand.
    """

    def __init__(self, settings: spec.CrossEntropy, class_totals: Sequence[int], device: torch.device = CPU) -> None:
        self.label_smoothing = settings.label_smoothing
        self.class_weights = _class_weights(settings.class_weights, class_totals, device)

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        by_class, smoothing = self.class_weights, self.label_smoothing
        if by_class is None and weights is None and target.dim() == 1:
            return functional.cross_entropy(logits, target, label_smoothing=smoothing)
        losses = functional.cross_entropy(logits, target, by_class, reduction="none", label_smoothing=smoothing)
        return _mean(losses, target, weights)

    def live_values(self) -> dict[str, object]:
        return {"class_weights": _named(self.class_weights), "label_smoothing": self.label_smoothing}


class BinaryCrossEntropy:
    """Of logits (N, 1), whose sigmoid is the probability of class 1: -log of that of the true class.

    With label smoothing s the target is s / 2 or 1 - s / 2, as CrossEntropy has it for two classes. An image's loss is
    multiplied by the weight of its class, and that of an image of the positive class by the positive weight besides.
    """

    def __init__(
        self,
        settings: spec.BinaryCrossEntropy,
        class_totals: Sequence[int],
        device: torch.device = CPU,
        positive: int | None = None,
    ) -> None:
        """positive: index of the positive class; None: there is none, and the positive weight is 1."""
        self.label_smoothing = settings.label_smoothing
        self.positive_weight = settings.positive_weight
        self.class_weights = _class_weights(settings.class_weights, class_totals, device)
        self._factors = torch.ones(2, device=device) if self.class_weights is None else self.class_weights.clone()
        if positive is not None:
            self._factors[positive] *= self.positive_weight

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        smooth = target.to(logits.dtype) * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits[:, 0], smooth, reduction="none")
        return _mean(self._factors[target] * losses, target, weights)

    def live_values(self) -> dict[str, object]:
        return {
            "class_weights": _named(self.class_weights),
            "positive_weight": self.positive_weight,
            "label_smoothing": self.label_smoothing,
        }


class Focal:
    """Focal loss (Lin et al. 2017, equation 5): weight x (1 - p)^gamma x -log(p), p being the true class's."""

    def __init__(self, settings: spec.Focal, class_totals: Sequence[int], device: torch.device = CPU) -> None:
        self.gamma = settings.gamma
        self.class_weights = _class_weights(settings.class_weights, class_totals, device)

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        losses = functional.cross_entropy(logits, target, reduction="none")
        if self.gamma:
            # 1 - p by expm1, as 1 - exp(-x) loses all digits near p = 1. Above 0, as the slope of 0^gamma is infinite.
            missing = (-torch.expm1(-losses)).clamp_min(1e-12)
            losses = missing.pow(self.gamma) * losses
        if self.class_weights is not None:
            losses = self.class_weights[target.clamp_min(0)] * losses  # the loss of what is ignored is 0
        return _mean(losses, target, weights)

    def live_values(self) -> dict[str, object]:
        return {"gamma": self.gamma, "class_weights": _named(self.class_weights)}


def _mean(losses: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """The mean over images of losses (N,), or (N, H, W) that are 0 where the target is IGNORED."""
    if target.dim() > 1:
        labelled = (target != IGNORED).sum(dim=(1, 2))
        losses = losses.sum(dim=(1, 2)) / labelled.clamp_min(1)
    return losses.mean() if weights is None else (weights * losses).mean()


def inverse_frequency(class_totals: Sequence[int]) -> Tensor:
    """Class weights as 1 / total, with mean 1 over rows or pixels, float32 (K,); 1 for a class without any."""
    totals = torch.tensor(class_totals, dtype=torch.float64)
    present = totals > 0
    weights = torch.ones_like(totals)
    weights[present] = totals.sum() / (present.sum() * totals[present])
    return weights.float()


def _class_weights(name: str, class_totals: Sequence[int], device: torch.device) -> Tensor | None:
    return inverse_frequency(class_totals).to(device) if name == "inverse_frequency" else None


def _named(class_weights: Tensor | None) -> str:
    return "none" if class_weights is None else "inverse_frequency"
