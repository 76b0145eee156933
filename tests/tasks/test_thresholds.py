"""Thresholds against a search over all of them, and average precision against scikit-learn, with and without ties."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score
from torch import Tensor

from trainyard.spec.decision import BestF1, BestPrecision, BestRecall, ChosenThreshold
from trainyard.tasks.measures import average_precision
from trainyard.tasks.thresholds import chosen_threshold

F1 = BestF1(name="f1")


def rows(seed: int, *, levels: int) -> tuple[Tensor, Tensor]:
    """40 rows with as many different log-odds at most; the higher they are, the likelier a row is positive."""
    generator = torch.Generator().manual_seed(seed)
    likely = torch.randint(0, levels, (40,), generator=generator).double() / levels
    truth = torch.rand(40, generator=generator) < 0.2 + 0.6 * likely
    assert truth.any()
    return 8 * likely - 4, truth


def measured(scores: Tensor, truth: Tensor, threshold: float) -> dict[str, float]:
    found = scores >= threshold
    return {
        "f1": f1_score(truth, found),
        "precision": precision_score(truth, found, zero_division=0),
        "recall": recall_score(truth, found),
    }


@pytest.mark.parametrize("levels", [1000, 5, 1], ids=["no ties", "ties", "all equal"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("rule", "wanted", "second", "bound"),
    [
        (F1, "f1", "recall", ("f1", 0.0)),
        (BestPrecision(name="precision", least_recall=0.6), "precision", "recall", ("recall", 0.6)),
        (BestRecall(name="recall", least_precision=0.6), "recall", "precision", ("precision", 0.6)),
    ],
    ids=["f1", "precision", "recall"],
)
def test_no_other_threshold_is_better(
    rule: ChosenThreshold, wanted: str, second: str, bound: tuple[str, float], seed: int, levels: int
) -> None:
    scores, truth = rows(seed, levels=levels)
    every = [measured(scores, truth, threshold) for threshold in scores.unique().tolist()]
    allowed = [values for values in every if values[bound[0]] >= bound[1]]

    threshold = chosen_threshold(rule, scores, truth)

    if not allowed:
        assert threshold is None
        return
    assert threshold is not None
    assert threshold not in scores.tolist()
    chosen = measured(scores, truth, threshold)
    assert chosen[bound[0]] >= bound[1]
    assert (chosen[wanted], chosen[second]) == max((values[wanted], values[second]) for values in allowed)


def test_a_bound_that_is_just_reached_is_reached() -> None:
    """0.95 of 20 is 19: no rounding may turn that down."""
    scores, truth = torch.linspace(1, 0, 21).double(), torch.tensor([True] * 19 + [False, True])
    threshold = chosen_threshold(BestPrecision(name="precision", least_recall=0.95), scores, truth)
    assert threshold == pytest.approx((scores[18] + scores[19]) / 2)


def test_predicting_nothing_does_not_win_precision_at_a_recall() -> None:
    scores, truth = torch.tensor([3.0, 2.0, -1.0]).double(), torch.tensor([False, False, True])
    threshold = chosen_threshold(BestPrecision(name="precision", least_recall=0.5), scores, truth)
    assert threshold is not None
    assert threshold < -1


def test_a_precision_that_is_never_reached_leaves_no_threshold() -> None:
    scores, truth = torch.tensor([0.9, 0.8]).double(), torch.tensor([False, True])
    assert chosen_threshold(BestRecall(name="recall", least_precision=0.6), scores, truth) is None


def test_rows_that_are_all_positive_are_all_taken() -> None:
    """From half the odds of the lowest on: 1 to 4, so 1 to 8."""
    scores = torch.tensor([0.2, 0.7]).double().logit()
    threshold = chosen_threshold(F1, scores, torch.tensor([True, True]))
    assert threshold == pytest.approx(math.log(1 / 8))


def test_a_row_without_a_score_is_not_half_way() -> None:
    scores, truth = torch.tensor([2.0, 1.0, -torch.inf]).double(), torch.tensor([True, True, False])
    assert chosen_threshold(F1, scores, truth) == pytest.approx(1 - math.log(2))


def test_scores_that_differ_by_their_last_digit_are_told_apart() -> None:
    scores = torch.tensor([0.5, np.nextafter(0.5, 0)], dtype=torch.float64)
    threshold = chosen_threshold(F1, scores, torch.tensor([True, False]))
    assert (scores >= threshold).tolist() == [True, False]


@pytest.mark.parametrize("levels", [1000, 5, 1], ids=["no ties", "ties", "all equal"])
def test_average_precision_is_scikit_learns(levels: int) -> None:
    columns = [rows(seed, levels=levels) for seed in range(4)]
    scores, truth = (torch.stack(parts, dim=1) for parts in zip(*columns, strict=True))
    theirs = [average_precision_score(truth[:, column], scores[:, column]) for column in range(4)]
    assert average_precision(scores, truth).tolist() == pytest.approx(theirs, abs=1e-12)


def test_average_precision_where_nothing_is_true_is_zero() -> None:
    assert average_precision(torch.rand(5, 1).double(), torch.zeros(5, 1, dtype=torch.bool)).tolist() == [0.0]
