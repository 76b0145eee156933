"""Classification: what its metrics mean, and what it refuses. scikit-learn is the judge."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from trainyard.errors import TrialError
from trainyard.losses.class_weights import ClassCounts
from trainyard.spec.decision import Decision
from trainyard.spec.loss import Loss
from trainyard.tasks.class_metrics import MOST_CLASSES
from trainyard.tasks.classification import Classification
from trainyard.tasks.measures import log_odds
from trainyard.tasks.task import Meter

CPU = torch.device("cpu")
LOGITS = torch.randn((60, 7), generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 6, (60,), generator=torch.Generator().manual_seed(1))  # the last class is never true
WHOLE = (slice(0, 60),)
BINARY = Loss.model_validate({"binary_cross_entropy": {}})
ONE_LOGIT = 2 * torch.randn((60, 1), generator=torch.Generator().manual_seed(2))
DEFECTIVE = (torch.rand(60, generator=torch.Generator().manual_seed(3)) < ONE_LOGIT[:, 0].sigmoid()).long()


def task_of(
    classes: int, *, decision: dict[str, Any] | None = None, watched: Collection[str] = (), loss: Loss | None = None
) -> Classification:
    """Of classes c0, c1, ..."""
    return Classification(
        classes=[f"c{index}" for index in range(classes)],
        class_counts=ClassCounts([10] * classes),
        loss=loss or Loss.model_validate({"cross_entropy": {}}),
        device=CPU,
        decision=None if decision is None else Decision.model_validate(decision),
        watched=watched,
    )


def filled(meter: Meter, *parts: slice, logits: Tensor = LOGITS, labels: Tensor = LABELS) -> Meter:
    meter.reset()
    for part in parts:
        meter.update(logits[part], {"label": labels[part]})
    return meter


def measured(task: Classification) -> dict[str, float]:
    """Of the single logit for two classes."""
    return filled(task.evaluation_meter(), *WHOLE, logits=ONE_LOGIT, labels=DEFECTIVE).compute()


def joined(meters: list[Meter]) -> list[Meter]:
    """As `Scores` does it for the workers of a crew."""
    rows = [torch.cat(parts) for parts in zip(*(meter.rows() for meter in meters), strict=True)]
    for meter in meters:
        assert meter.sums() == []
        meter.set_rows(rows)
    return meters


def averages(answers: Tensor, labels: Tensor) -> dict[str, float]:
    """Of all classes together."""
    macro = {"average": "macro", "labels": sorted({*labels.tolist(), *answers.tolist()}), "zero_division": 0}
    return {
        "accuracy": sklearn.accuracy_score(labels, answers),
        "f1": sklearn.f1_score(labels, answers, **macro),
        "precision": sklearn.precision_score(labels, answers, **macro),
        "recall": sklearn.recall_score(labels, answers, **macro),
    }


def of_each(answers: Tensor, scores: Tensor, labels: Tensor) -> dict[str, float]:
    """Of each class that has a row. scores: (N, K)."""
    values = {}
    for index in sorted(set(labels.tolist())):
        truth, found = labels == index, answers == index
        values |= {
            f"precision/c{index}": sklearn.precision_score(truth, found, zero_division=0),
            f"recall/c{index}": sklearn.recall_score(truth, found),
            f"f1/c{index}": sklearn.f1_score(truth, found),
            f"average_precision/c{index}": sklearn.average_precision_score(truth, scores[:, index]),
        }
    return values


def expected() -> dict[str, float]:
    answers, scores = LOGITS.argmax(1), LOGITS.double().softmax(1)
    top5 = sklearn.top_k_accuracy_score(LABELS, LOGITS, k=5, labels=range(7))
    return averages(answers, LABELS) | {"top5_accuracy": top5} | of_each(answers, scores, LABELS)


def test_metrics_are_scikit_learns() -> None:
    meter = filled(task_of(7).evaluation_meter(), slice(0, 25), slice(25, 60))
    assert meter.compute() == pytest.approx(expected(), abs=1e-12)


def test_a_class_without_rows_has_no_measures_of_its_own() -> None:
    values = filled(task_of(7).evaluation_meter(), *WHOLE).compute()
    assert (LOGITS.argmax(1) == 6).any()
    assert [name for name in values if name.endswith("/c6")] == []


def test_the_rows_of_uneven_workers_make_the_whole() -> None:
    """Three workers with 25, 0 and 35 rows: each row counts once."""
    task = task_of(7, decision={"positive": "c2", "threshold": "f1"})
    alone = filled(task.evaluation_meter(), *WHOLE).compute()
    crew = [
        filled(task.evaluation_meter(), slice(0, 25)),
        filled(task.evaluation_meter()),
        filled(task.evaluation_meter(), slice(25, 40), slice(40, 60)),
    ]
    for meter in joined(crew):
        assert meter.compute() == alone


def test_workers_without_a_class_to_measure_join_their_answers() -> None:
    task = task_of(MOST_CLASSES + 1)
    logits = torch.randn(30, MOST_CLASSES + 1)
    labels = torch.arange(30) % 5
    parts = (slice(0, 30), slice(0, 0))
    crew = [filled(task.evaluation_meter(), part, logits=logits, labels=labels) for part in parts]
    for meter in joined(crew):
        values = meter.compute()
        assert values.keys() == {"accuracy", "f1", "precision", "recall", "top5_accuracy"}
        assert values["accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())


def test_a_meter_starts_anew() -> None:
    meter = filled(task_of(7).evaluation_meter(), *WHOLE)
    meter.compute()
    assert filled(meter, *WHOLE).compute() == pytest.approx(expected(), abs=1e-12)


def test_of_many_classes_those_that_the_job_names_are_measured() -> None:
    names = {"val/recall/c3", "val/precision/c8"}
    few, many = task_of(MOST_CLASSES), task_of(MOST_CLASSES + 1, watched=names, decision={"positive": "c5"})
    assert {f"val/f1/c{index}" for index in range(MOST_CLASSES)} <= few.metrics
    assert {name for name in many.metrics if name.startswith("val/f1/")} == {"val/f1/c3", "val/f1/c5", "val/f1/c8"}
    logits = torch.randn(40, MOST_CLASSES + 1)
    values = filled(many.evaluation_meter(), slice(0, 40), logits=logits, labels=torch.arange(40) % 21).compute()
    reported = {f"val/{name}" for name in values} | {"val/loss"}
    assert reported == {name for name in many.metrics if name.startswith("val/")}


# A single logit for two classes


def test_a_single_logit_has_the_metrics_of_its_sigmoid() -> None:
    task = task_of(2, loss=BINARY)
    assert task.outputs == 1
    likely = ONE_LOGIT[:, 0].double().sigmoid()
    answers = (likely > 0.5).long()
    meter = filled(task.evaluation_meter(), slice(0, 25), slice(25, 60), logits=ONE_LOGIT, labels=DEFECTIVE)
    wanted = averages(answers, DEFECTIVE) | of_each(answers, torch.stack([1 - likely, likely], dim=1), DEFECTIVE)
    assert meter.compute() == pytest.approx(wanted, abs=1e-12)
    training = filled(task.training_meter(), *WHOLE, logits=ONE_LOGIT, labels=DEFECTIVE)
    assert training.compute() == {"accuracy": pytest.approx(wanted["accuracy"])}


@pytest.mark.parametrize(("high", "higher"), [(20.0, 25.0), (50.0, 60.0), (900.0, 1000.0)])
@pytest.mark.parametrize("loss", [BINARY, None], ids=["a single logit", "two logits"])
def test_logits_that_are_very_sure_are_still_told_apart(loss: Loss | None, high: float, higher: float) -> None:
    """In float32 the sigmoid of 20 is 1, in float64 that of 50."""
    logits, labels = torch.tensor([[high], [higher], [-3.0]]), torch.tensor([0, 1, 0])
    if loss is None:
        logits = torch.cat([torch.zeros(3, 1), logits], dim=1)
    task = task_of(2, loss=loss, decision={"positive": "c1", "threshold": "f1"})
    values = filled(task.evaluation_meter(), slice(0, 3), logits=logits, labels=labels).compute()
    assert values["average_precision/c1"] == 1.0
    assert (values["precision/c1"], values["recall/c1"]) == (1.0, 1.0)
    assert values["threshold"] == pytest.approx(1.0)


def test_log_odds_are_those_of_the_softmax() -> None:
    likely = LOGITS.double().softmax(1)[:, [5, 0]]
    torch.testing.assert_close(log_odds(LOGITS, [5, 0]), likely.logit())
    assert log_odds(LOGITS, []).shape == (60, 0)


def test_the_binary_loss_of_mixed_samples_is_that_of_the_mixed_target() -> None:
    shares, other = torch.linspace(0, 1, 60), DEFECTIVE.roll(1)
    batch = {"image": torch.zeros(60, 1, 1, 1), "label": DEFECTIVE, "label_other": other, "label_share": shares}
    total, terms = task_of(2, loss=BINARY).losses(ONE_LOGIT, batch)
    mixed = shares * DEFECTIVE + (1 - shares) * other
    torch.testing.assert_close(total, binary_cross_entropy_with_logits(ONE_LOGIT[:, 0], mixed))
    torch.testing.assert_close(terms["binary_cross_entropy"], total)


def test_the_positive_weight_is_that_of_the_positive_class_wherever_it_stands() -> None:
    loss = Loss.model_validate({"binary_cross_entropy": {"positive_weight": 3.0}})
    batch = {"image": torch.zeros(60, 1, 1, 1), "label": DEFECTIVE}
    each = binary_cross_entropy_with_logits(ONE_LOGIT[:, 0], DEFECTIVE.float(), reduction="none")
    for positive in (0, 1):
        task = task_of(2, loss=loss, decision={"positive": f"c{positive}"})
        weights = torch.where(DEFECTIVE.eq(positive), 3.0, 1.0)
        torch.testing.assert_close(task.losses(ONE_LOGIT, batch)[0], (weights * each).mean())


# Decisions


@pytest.mark.parametrize("positive", [0, 1])
def test_at_a_fixed_threshold_the_answers_are_those_that_reach_it(positive: int) -> None:
    decision = {"positive": f"c{positive}", "threshold": 0.3}
    values = measured(task_of(2, loss=BINARY, decision=decision))
    likely = ONE_LOGIT[:, 0].double().sigmoid()
    scores = torch.stack([1 - likely, likely], dim=1)
    answers = torch.where(scores[:, positive] >= 0.3, positive, 1 - positive)
    wanted = averages(answers, DEFECTIVE) | of_each(answers, scores, DEFECTIVE) | {"threshold": 0.3}
    assert values == pytest.approx(wanted, abs=1e-12)


def test_argmax_of_two_classes_is_the_threshold_one_half() -> None:
    by_argmax = measured(task_of(2, loss=BINARY, decision={"positive": "c1"}))
    by_half = measured(task_of(2, loss=BINARY, decision={"positive": "c1", "threshold": 0.5}))
    assert by_half.pop("threshold") == 0.5
    assert by_half == by_argmax


def test_of_several_classes_what_is_not_positive_is_the_likeliest_of_the_others() -> None:
    scores = LOGITS.double().softmax(1)
    others = scores.clone()
    others[:, 2] = -1
    answers = torch.where(scores[:, 2] >= 0.1, 2, others.argmax(1))
    assert (answers != LOGITS.argmax(1)).sum() > 5
    meter = filled(task_of(7, decision={"positive": "c2", "threshold": 0.1}).evaluation_meter(), *WHOLE)
    wanted = averages(answers, LABELS) | of_each(answers, scores, LABELS)
    wanted |= {"top5_accuracy": expected()["top5_accuracy"], "threshold": 0.1}
    assert meter.compute() == pytest.approx(wanted, abs=1e-12)


def test_a_chosen_threshold_gives_the_measures_that_it_was_chosen_for() -> None:
    """Against scikit-learn's curve: no threshold with at least that recall has a larger precision."""
    decision = {"positive": "c1", "threshold": {"name": "precision", "least_recall": 0.8}}
    values = measured(task_of(2, loss=BINARY, decision=decision))
    scores = ONE_LOGIT[:, 0].double().sigmoid()
    precision, recall, thresholds = sklearn.precision_recall_curve(DEFECTIVE, scores)
    allowed = recall[:-1] >= 0.8
    assert values["precision/c1"] == pytest.approx(precision[:-1][allowed].max())
    assert values["recall/c1"] >= 0.8
    lowest = np.flatnonzero(allowed)[np.argmax(precision[:-1][allowed])]
    assert thresholds[lowest - 1] < values["threshold"] < thresholds[lowest]
    assert values["precision/c1"] == sklearn.precision_score(DEFECTIVE, scores >= values["threshold"])


def test_where_no_threshold_will_do_nothing_is_positive() -> None:
    decision = {"positive": "c1", "threshold": {"name": "recall", "least_precision": 0.9}}
    logits, labels = torch.tensor([[3.0], [2.0], [1.0], [0.0]]), torch.tensor([0, 1, 0, 1])
    meter = filled(
        task_of(2, loss=BINARY, decision=decision).evaluation_meter(), slice(0, 4), logits=logits, labels=labels
    )
    values = meter.compute()
    assert (values["precision/c1"], values["recall/c1"], values["f1/c1"]) == (0, 0, 0)
    assert "threshold" not in values


@pytest.mark.parametrize("threshold", [0.5, "argmax", "f1", {"name": "precision", "least_recall": 0.9}], ids=str)
def test_a_split_of_one_class_has_its_measures(threshold: object) -> None:
    decision = {"positive": "c1", "threshold": threshold}
    values = filled(
        task_of(2, loss=BINARY, decision=decision).evaluation_meter(),
        slice(0, 3),
        logits=torch.tensor([[1.0], [2.0], [3.0]]),
        labels=torch.tensor([1, 1, 1]),
    ).compute()
    assert (values["precision/c1"], values["recall/c1"], values["average_precision/c1"]) == (1, 1, 1)
    assert "precision/c0" not in values
    assert np.isfinite(list(values.values())).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("threshold", ["f1", {"name": "recall", "least_precision": 0.5}], ids=str)
def test_logits_that_are_no_numbers_are_measured_without_a_nan(bad: float, threshold: object) -> None:
    """The loss tells that the trial has diverged; its metrics must not fail before."""
    logits = LOGITS.clone()
    logits[::3] = bad
    task = task_of(7, decision={"positive": "c1", "threshold": threshold})
    values = filled(task.evaluation_meter(), *WHOLE, logits=logits).compute()
    assert np.isfinite(list(values.values())).all()


# Losses and answers


def test_the_training_meter_counts_rows_that_are_right() -> None:
    meter = filled(task_of(7).training_meter(), slice(0, 25), slice(25, 60))
    assert meter.compute() == {"accuracy": pytest.approx(expected()["accuracy"])}


def test_the_loss_of_mixed_samples_is_that_of_both_labels_by_their_shares() -> None:
    shares = torch.linspace(0, 1, 60)
    other = LABELS.roll(1)
    batch = {"image": torch.zeros(60, 1, 1, 1), "label": LABELS, "label_other": other, "label_share": shares}
    targets = shares[:, None] * one_hot(LABELS, 7) + (1 - shares[:, None]) * one_hot(other, 7)
    total, terms = task_of(7).losses(LOGITS, batch)
    torch.testing.assert_close(total, cross_entropy(LOGITS, targets))
    torch.testing.assert_close(terms["cross_entropy"], total)


def test_of_a_mixed_sample_the_own_label_counts_as_right() -> None:
    mixed = {"label": LABELS, "label_other": LABELS.roll(1), "label_share": torch.zeros(60)}
    meter = task_of(7).training_meter()
    meter.update(LOGITS, mixed)
    assert meter.compute() == {"accuracy": pytest.approx(expected()["accuracy"])}


@pytest.mark.parametrize(("classes", "reported"), [(5, False), (6, True)])
def test_top5_accuracy_needs_more_than_five_classes(classes: int, reported: bool) -> None:
    task = task_of(classes)
    meter = task.evaluation_meter()
    meter.update(torch.rand(8, classes), {"label": torch.arange(8) % classes})
    assert ("top5_accuracy" in meter.compute()) is reported
    assert ("val/top5_accuracy" in task.metrics) is reported


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.rand(2, 7), "returned shape (2, 7) (torch.float32) for a batch of 2 images; classification with 10"),
        (torch.rand(2, 10, 1), "needs a float tensor of logits of shape (2, 10)"),
        (torch.ones(2, 10, dtype=torch.int64), "returned shape (2, 10) (torch.int64)"),
        ({"logits": torch.rand(2, 10)}, "returned dict for a batch of 2 images; classification with 10 classes needs"),
        (None, "returned NoneType"),
    ],
    ids=["classes", "axes", "type", "dict", "nothing"],
)
def test_an_answer_of_no_use_is_described(output: object, message: str) -> None:
    with pytest.raises(TrialError) as error:
        task_of(10).check_output(output, {"image": torch.rand(2, 3, 4, 4)})
    assert message in str(error.value)


def test_two_logits_where_one_is_asked_for() -> None:
    with pytest.raises(TrialError, match=r"classification with 2 classes by a single logit needs .* shape \(2, 1\)\."):
        task_of(2, loss=BINARY).check_output(torch.rand(2, 2), {"image": torch.rand(2, 3, 4, 4)})
