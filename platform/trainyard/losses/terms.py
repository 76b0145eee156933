"""What a term of a loss is: a loss of each image, of what a model answered and what is true.

A batch's loss is the plain mean over its images: so the mean over the workers is the loss of the whole batch. Neither a
sum over all pixels of a batch nor a mean over those with a class could be had from the workers' parts: these differ in
void, and in the classes that they hold. Each image counts the same, however much of it is void; one that is all void
has the loss 0.
"""

from typing import Protocol

import torch
from torch import Tensor

from trainyard.losses.answer import Answer

CPU = torch.device("cpu")


class Term(Protocol):
    """One term of a mix. Keeps no state from batch to batch."""

    def __call__(self, answer: Answer) -> Tensor:
        """The loss of each image, (N,)."""
        ...

    def live_values(self) -> dict[str, object]:
        """The settings that it works with, by their names in the job."""
        ...
