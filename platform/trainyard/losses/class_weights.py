"""How much samples of each class count, from how much the training split has of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainyard.spec import class_weights as spec
from trainyard.spec.section import flatten, plain


@dataclass(frozen=True)
class ClassCounts:
    """How much a training split has of each class.

    totals: images, or pixels, of each class. around: of the images that have the class, how many there are, or how many
    pixels they have, whatever these show; None: all of the split, for each class.
    """

    totals: Sequence[int]
    around: Sequence[float] | None = None


class ClassWeights:
    """The weight of each class, with mean 1 over the images or pixels of the training split; 1 for a class without any.

    So whichever way classes are weighed, the size of the loss stays, and with it what a learning rate means, and the
    weight of this term beside others.
    """

    def __init__(self, settings: spec.AnyClassWeights, counts: ClassCounts, device: torch.device) -> None:
        self._settings = _resolved(settings, counts)
        weights = _weights(self._settings, counts)
        self.by_class = None if weights is None else weights.float().to(device)
        """(K,), float32; None where all weigh the same."""

    def live_values(self) -> dict[str, object]:
        """`auto` as what it came to."""
        return flatten({"class_weights": plain(self._settings)})


def _resolved(settings: spec.AnyClassWeights, counts: ClassCounts) -> spec.AnyClassWeights:
    """`auto` as an effective number: in an average class, samples begin to say what others have said before.

    Classes that are all of one size weigh the same, small ones weigh nearly by their inverse frequency, and of large
    ones the largest weighs hardly less than the others. Frequencies alone would give a class with a pixel in a thousand
    a hundred times the weight of one with a pixel in ten.
    """
    if not isinstance(settings, spec.AutomaticWeights):
        return settings
    present = [total for total in counts.totals if total]
    beta = 1 - len(present) / sum(present) if present else 0.0
    return spec.EffectiveNumber(name="effective_number", beta=beta)


def _weights(settings: spec.AnyClassWeights, counts: ClassCounts) -> Tensor | None:
    """float64 (K,)."""
    totals = torch.tensor(counts.totals, dtype=torch.float64)
    match settings:
        case spec.InverseFrequency():
            return _scaled(1 / totals, totals)
        case spec.EffectiveNumber(beta=beta):
            # 1 - beta^n by expm1, as beta may be 1 - 1e-9. The factor 1 - beta goes away in the scaling.
            logarithm = torch.tensor(beta, dtype=torch.float64).log()
            return _scaled(-1 / torch.expm1(totals * logarithm), totals)
        case spec.MedianFrequency():
            around = totals.sum() if counts.around is None else torch.tensor(counts.around, dtype=torch.float64)
            # The median of the frequencies, which the paper multiplies by, goes away in the scaling.
            return _scaled(around / totals, totals)
    return None


def _scaled(weights: Tensor, totals: Tensor) -> Tensor:
    """With mean 1 over all that is counted; 1 for a class of which there is nothing."""
    present = totals > 0
    mean = (weights * totals)[present].sum() / totals.sum()
    return torch.where(present, weights / mean, 1.0)
