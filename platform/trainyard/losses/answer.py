"""What a model answered for a batch beside what is true, and what several terms of a loss need to know of it."""

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
"""In place of a pixel's class: it has none, and counts nowhere. What torch's nll_loss leaves out by default."""


class Overlap(NamedTuple):
    """Probabilities of each class summed over labelled pixels, by image and class, each (N, K).

    hits: where the class is the true one. false_alarms: elsewhere. misses: what they lack of 1 where it is true.
    """

    hits: Tensor
    false_alarms: Tensor
    misses: Tensor


class Answer:
    """Logits of N images and their true classes. Whatever is computed of them is computed once, when first needed.

    logits: (N, K) and target int64 (N,), a class index for each image; or (N, K, H, W) and (N, H, W), a class index or
    IGNORED for each pixel.

    A single logit, (N, 1) or (N, 1, H, W), is that of the second of two classes: `single` is it, without its axis, and
    `logits` are 0 and it, whose softmax is its sigmoid.
    """

    def __init__(self, logits: Tensor, target: Tensor) -> None:
        self._given = logits
        self.target = target
        self.single = logits[:, 0] if logits.shape[1] == 1 else None

    @cached_property
    def logits(self) -> Tensor:
        if self.single is None:
            return self._given
        return torch.stack([torch.zeros_like(self.single), self.single], dim=1)

    @cached_property
    def labelled(self) -> Tensor:
        """Which images or pixels have a class, bool as the target."""
        return self.target != IGNORED

    @cached_property
    def classes(self) -> Tensor:
        """The target with the first class where there is none: safe to index by."""
        return self.target.clamp_min(0)

    @cached_property
    def log_probabilities(self) -> Tensor:
        """As the logits."""
        return self.logits.log_softmax(1)

    @cached_property
    def probabilities(self) -> Tensor:
        """As the logits."""
        return self.log_probabilities.exp()

    @cached_property
    def surprisal(self) -> Tensor:
        """-log of the probability of the true class, as the target; 0 where there is none."""
        return functional.nll_loss(self.log_probabilities, self.target, ignore_index=IGNORED, reduction="none")

    @cached_property
    def truth(self) -> Tensor:
        """Which pixels are truly of each class, bool (N, K, H, W)."""
        classes = torch.arange(self.logits.shape[1], device=self.target.device)
        return self.target.unsqueeze(1) == classes[:, None, None]

    @cached_property
    def sizes(self) -> Tensor:
        """How many pixels are truly of each class in each image, (N, K)."""
        return self.truth.sum((2, 3))

    @cached_property
    def overlap(self) -> Overlap:
        hits = (self.probabilities * self.truth).sum((2, 3))
        answered = (self.probabilities * self.labelled.unsqueeze(1)).sum((2, 3))
        return Overlap(hits=hits, false_alarms=answered - hits, misses=self.sizes - hits)
