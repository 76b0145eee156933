"""Lovász-Softmax (Berman, Triki, Blaschko 2018, arXiv:1705.08790), of each image by itself."""

import torch
from torch import Tensor

from trainyard.losses.answer import Answer
from trainyard.losses.regions import Region


class Lovasz(Region):
    """The Lovász extension of 1 - IoU: piecewise linear in the errors of pixels, and 1 - IoU where they are 0 or 1.

    The error of a pixel is 1 - p for its true class and p for any other (equation 8).
    """

    def _losses(self, answer: Answer) -> Tensor:
        counted = self._counted(answer)
        parts = (answer.probabilities, answer.truth, answer.labelled.unsqueeze(1).expand_as(answer.truth))
        if counted.device.type != "cpu":
            # Sorting the other classes, too, takes a GPU less time than to wait until it is known which these are.
            return _extension(*(part.flatten(0, 1).flatten(1) for part in parts)).reshape(counted.shape)
        losses = torch.zeros(counted.shape, dtype=answer.probabilities.dtype)
        losses[counted] = _extension(*(part.flatten(2)[counted] for part in parts))
        return losses


def _extension(probabilities: Tensor, truth: Tensor, labelled: Tensor) -> Tensor:
    """Of R classes in an image with P pixels: (R,), from (R, P) each. 0 for a class that isn't there."""
    errors = torch.where(truth, 1 - probabilities, probabilities) * labelled
    return (errors * _slopes(errors.detach(), truth, labelled)).sum(1)


@torch.no_grad()
def _slopes(errors: Tensor, truth: Tensor, labelled: Tensor) -> Tensor:
    """How much the loss grows with each error, (R, P): by how much 1 - IoU grows when the pixels with larger errors are
    wrong already, and this one becomes so (algorithm 1). Finite where there is no class.

    Of T pixels of the class, m are missed and f others taken for it, this one among them. The paper has the difference
    of two fractions near 1; written out, it keeps its digits.
    """
    order = errors.masked_fill(~labelled, -1).argsort(dim=1, descending=True)
    true = truth.gather(1, order)
    missed = true.cumsum(1, dtype=errors.dtype)
    total = missed[:, -1:].clone()
    places = torch.arange(1, errors.shape[1] + 1, dtype=errors.dtype, device=errors.device)
    union = total + places - missed
    found = total - missed
    steps = torch.where(true, 1 / union, found / (union * (union - 1).clamp_min(1)))
    return torch.empty_like(steps).scatter_(1, order, steps)
