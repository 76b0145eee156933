"""From which score on a row is taken to be of the positive class: chosen from all rows of a split."""

import math

import torch
from torch import Tensor

from trainyard.spec.decision import BestF1, BestPrecision, BestRecall, ChosenThreshold
from trainyard.tasks.measures import ranking


def chosen_threshold(rule: ChosenThreshold, scores: Tensor, truth: Tensor) -> float | None:
    """The threshold that the rule chooses; None if no threshold does what the rule asks for.

    scores: float64 (N,), log-odds, as the threshold is. truth: bool (N,), whether a row is positive.

    It lies half-way between the lowest score that it takes and the next lower one, or at half the odds where there is
    none: so that it takes the same rows where a logit comes out a little differently, in float32 or in another batch.
    """
    ranked = ranking(scores[:, None], truth[:, None])
    cuts = ranked.last[:, 0].unique()
    hits, positives = ranked.truth[:, 0].cumsum(0)[cuts].double(), truth.sum()
    precision, recall = ranked.precision[cuts, 0], hits / positives.clamp_min(1)
    match rule:
        case BestF1():
            best = _best(2 * hits / (cuts + 1 + positives), recall)
        case BestPrecision(least_recall=least):
            best = _best(precision, recall, allowed=recall >= least)
        case BestRecall(least_precision=least):
            best = _best(recall, precision, allowed=precision >= least)
    if best is None:
        return None
    cut = int(cuts[best])
    lowest = float(ranked.scores[cut, 0])
    lower = float(ranked.scores[cut + 1, 0]) if cut + 1 < len(scores) else -math.inf
    if lower == -math.inf:
        return lowest - math.log(2)
    half = (lowest + lower) / 2
    return half if half > lower else lowest


def _best(*keys: Tensor, allowed: Tensor | None = None) -> int | None:
    """Where the first key is largest among what is allowed, of equals the second."""
    left = torch.arange(len(keys[0])) if allowed is None else allowed.nonzero()[:, 0]
    for key in keys:
        if len(left):
            left = left[key[left] == key[left].max()]
    return int(left[0]) if len(left) else None
