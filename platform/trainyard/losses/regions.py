"""Terms that compare regions: how far the answered and the true part of each class overlap, in each image by itself.

An image's loss is the mean over the classes that it truly has. One that it has not can have no overlap, however little
is answered of it, and its loss would hardly fall; but what is answered of it is missing from the others: from those
that count, which the background need not be. So the true part is never empty, and nothing need be added to a fraction
lest it divides by zero.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from trainyard.losses.answer import Answer
from trainyard.spec import loss as spec

_LEAST = 1e-3
"""Less than any denominator of a class that has a pixel, with which alpha and beta are 0.01 or more."""

_NEARLY_NONE = 1e-7
"""Above 0, where the slope of a power below 1 is infinite; float32 tells no less from 1."""


class Region(ABC):
    """A loss of each class that an image truly has, and their mean; of the first class only if that is wanted.

    An image that has none of the classes that count has the loss 0.
    """

    def __init__(self, settings: spec.Region) -> None:
        self._include_background = settings.include_background

    def __call__(self, answer: Answer) -> Tensor:
        counted = self._counted(answer)
        return (self._losses(answer) * counted).sum(1) / counted.sum(1).clamp_min(1)

    def live_values(self) -> dict[str, object]:
        return {"include_background": self._include_background}

    def _counted(self, answer: Answer) -> Tensor:
        """The classes that count in each image, bool (N, K)."""
        counted = answer.sizes > 0
        if not self._include_background:
            counted[:, 0] = False
        return counted

    @abstractmethod
    def _losses(self, answer: Answer) -> Tensor:
        """Of each class in each image, (N, K); finite also for one that doesn't count."""


class Dice(Region):
    """1 - 2 TP / (2 TP + FP + FN), of sums of probabilities: Milletari, Navab and Ahmadi's (2016, arXiv:1606.04797)
    without the squares in their denominator."""

    def _losses(self, answer: Answer) -> Tensor:
        hits, false_alarms, misses = answer.overlap
        return 1 - 2 * hits / (2 * hits + false_alarms + misses).clamp_min(_LEAST)


class Jaccard(Region):
    """1 - TP / (TP + FP + FN), of sums of probabilities: 1 - IoU (Rahman and Wang 2016)."""

    def _losses(self, answer: Answer) -> Tensor:
        hits, false_alarms, misses = answer.overlap
        return 1 - hits / (hits + false_alarms + misses).clamp_min(_LEAST)


class Tversky(Region):
    """(1 - TP / (TP + alpha FP + beta FN))^gamma, of sums of probabilities.

    With gamma 1 it is Salehi, Erdogmus and Gholipour's (2017, arXiv:1706.05721), with another the focal one, whose
    exponent Abraham and Khan (2019, arXiv:1810.07842) write 1 / gamma.
    """

    def __init__(self, settings: spec.Tversky) -> None:
        super().__init__(settings)
        self._alpha, self._beta, self._gamma = settings.alpha, settings.beta, settings.gamma

    def _losses(self, answer: Answer) -> Tensor:
        hits, false_alarms, misses = answer.overlap
        losses = 1 - hits / (hits + self._alpha * false_alarms + self._beta * misses).clamp_min(_LEAST)
        return losses if self._gamma == 1 else losses.clamp_min(_NEARLY_NONE).pow(self._gamma)

    def live_values(self) -> dict[str, object]:
        return {**super().live_values(), "alpha": self._alpha, "beta": self._beta, "gamma": self._gamma}
