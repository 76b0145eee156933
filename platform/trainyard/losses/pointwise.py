"""Terms of each image, or of each pixel by itself. The loss of an image with a mask is the mean over its pixels."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from trainyard.losses.answer import Answer
from trainyard.losses.boundaries import near_boundaries
from trainyard.losses.class_weights import ClassCounts, ClassWeights
from trainyard.losses.terms import CPU
from trainyard.spec import loss as spec
from trainyard.spec.section import flatten, plain


class Pointwise(ABC):
    """A loss of each image, or the mean over each image's labelled pixels, near boundaries with a weight of their own.

    The weights of classes multiply the losses, and unlike in torch's mean these are not divided by them: over the
    training split, though not over a batch, their mean is 1. Those of pixels near boundaries are divided by.
    """

    def __init__(self, settings: spec.Pointwise, counts: ClassCounts, device: torch.device = CPU) -> None:
        self._class_weights = ClassWeights(settings.class_weights, counts, device)
        self._boundary = settings.boundary

    def __call__(self, answer: Answer) -> Tensor:
        losses = self._losses(answer)
        if losses.dim() == 1:
            return losses
        if self._boundary is None or not self._boundary.weight:
            return losses.sum((1, 2)) / answer.labelled.sum((1, 2)).clamp_min(1)
        weights = 1 + self._boundary.weight * near_boundaries(answer.target, self._boundary.width)
        return (weights * losses).sum((1, 2)) / (weights * answer.labelled).sum((1, 2)).clamp_min(1)

    def live_values(self) -> dict[str, object]:
        boundary = {} if self._boundary is None else flatten({"boundary": plain(self._boundary)})
        return {**self._class_weights.live_values(), **boundary, **self._own_values()}

    @abstractmethod
    def _losses(self, answer: Answer) -> Tensor:
        """As the target; 0 where there is none."""

    @abstractmethod
    def _own_values(self) -> dict[str, object]:
        """The settings that not every such term has."""


class CrossEntropy(Pointwise):
    """Cross-entropy with torch's label smoothing and class weights."""

    def __init__(self, settings: spec.CrossEntropy, counts: ClassCounts, device: torch.device = CPU) -> None:
        super().__init__(settings, counts, device)
        self._label_smoothing = settings.label_smoothing

    def _losses(self, answer: Answer) -> Tensor:
        by_class, smoothing = self._class_weights.by_class, self._label_smoothing
        losses = answer.surprisal if by_class is None else by_class[answer.classes] * answer.surprisal
        if not smoothing:
            return losses
        surprisals = -answer.log_probabilities.movedim(1, -1)
        of_all = (surprisals if by_class is None else by_class * surprisals).mean(-1) * answer.labelled
        return (1 - smoothing) * losses + smoothing * of_all

    def _own_values(self) -> dict[str, object]:
        return {"label_smoothing": self._label_smoothing}


class BinaryCrossEntropy(Pointwise):
    """Of a single logit, whose sigmoid is the probability of the second class: -log of that of the true class.

    With label smoothing s the target is s / 2 or 1 - s / 2, as CrossEntropy has it for two classes. A loss is
    multiplied by the weight of the true class, and where that is the positive one by the positive weight besides.
    """

    def __init__(
        self,
        settings: spec.BinaryCrossEntropy,
        counts: ClassCounts,
        device: torch.device = CPU,
        positive: int | None = None,
    ) -> None:
        """positive: index of the positive class; None: there is none, and the positive weight is 1."""
        super().__init__(settings, counts, device)
        self._label_smoothing = settings.label_smoothing
        self._positive_weight = settings.positive_weight
        by_class = self._class_weights.by_class
        self._factors = torch.ones(2, device=device) if by_class is None else by_class.clone()
        if positive is not None:
            self._factors[positive] *= self._positive_weight

    def _losses(self, answer: Answer) -> Tensor:
        assert answer.single is not None, "a task with this term asks its model for a single logit"
        smooth = answer.classes.to(answer.single.dtype) * (1 - self._label_smoothing) + self._label_smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(answer.single, smooth, reduction="none")
        return self._factors[answer.classes] * losses * answer.labelled

    def _own_values(self) -> dict[str, object]:
        return {"positive_weight": self._positive_weight, "label_smoothing": self._label_smoothing}


class Focal(Pointwise):
    """Focal loss (Lin et al. 2017, equation 5): weight x (1 - p)^gamma x -log(p), p being the true class's."""

    def __init__(self, settings: spec.Focal, counts: ClassCounts, device: torch.device = CPU) -> None:
        super().__init__(settings, counts, device)
        self._gamma = settings.gamma

    def _losses(self, answer: Answer) -> Tensor:
        losses = answer.surprisal
        if self._gamma:
            # 1 - p by expm1, as 1 - exp(-x) loses all digits near p = 1. Above 0, as the slope of 0^gamma is infinite.
            missing = (-torch.expm1(-losses)).clamp_min(1e-12)
            losses = missing.pow(self._gamma) * losses
        by_class = self._class_weights.by_class
        return losses if by_class is None else by_class[answer.classes] * losses

    def _own_values(self) -> dict[str, object]:
        return {"gamma": self._gamma}
