"""Classification: what its metrics mean, and what it refuses."""

import pytest
import torch
from sklearn import metrics as sklearn
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from trainyard.errors import TrialError
from trainyard.spec.loss import Loss
from trainyard.tasks.classification import Classification
from trainyard.tasks.task import Meter

CPU = torch.device("cpu")
LOGITS = torch.randn((60, 7), generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 6, (60,), generator=torch.Generator().manual_seed(1))  # the last class is never true


def task_of(classes: int) -> Classification:
    names = [f"class {index}" for index in range(classes)]
    loss = Loss.model_validate({"cross_entropy": {}})
    return Classification(classes=names, class_totals=[10] * classes, loss=loss, device=CPU)


def filled(meter: Meter, *parts: slice) -> Meter:
    meter.reset()
    for part in parts:
        meter.update(LOGITS[part], {"label": LABELS[part]})
    return meter


def expected() -> dict[str, float]:
    answers = LOGITS.argmax(1)
    macro = {"average": "macro", "labels": sorted({*LABELS.tolist(), *answers.tolist()}), "zero_division": 0}
    return {
        "accuracy": sklearn.accuracy_score(LABELS, answers),
        "f1": sklearn.f1_score(LABELS, answers, **macro),
        "precision": sklearn.precision_score(LABELS, answers, **macro),
        "recall": sklearn.recall_score(LABELS, answers, **macro),
        "top5_accuracy": sklearn.top_k_accuracy_score(LABELS, LOGITS, k=5, labels=range(7)),
    }


def test_metrics_are_scikit_learns() -> None:
    meter = filled(task_of(7).evaluation_meter(), slice(0, 25), slice(25, 60))
    assert meter.compute() == pytest.approx(expected(), abs=1e-6)


def test_the_sums_of_uneven_workers_make_the_whole() -> None:
    """Three workers with 25, 0 and 35 rows: each row counts once."""
    task = task_of(7)
    workers = [
        filled(task.evaluation_meter(), slice(0, 25)),
        filled(task.evaluation_meter()),
        filled(task.evaluation_meter(), slice(25, 40), slice(40, 60)),
    ]
    sums: list[list[Tensor]] = [meter.sums() for meter in workers]
    totals = [torch.stack(states).sum(0) for states in zip(*sums, strict=True)]
    for meter in workers:
        for state, total in zip(meter.sums(), totals, strict=True):
            state.copy_(total)
        assert meter.compute() == pytest.approx(expected(), abs=1e-6)


def test_a_meter_starts_anew() -> None:
    meter = filled(task_of(7).evaluation_meter(), slice(0, 60))
    meter.compute()
    assert filled(meter, slice(0, 60)).compute() == pytest.approx(expected(), abs=1e-6)


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
        (torch.rand(2, 10, 1), "needs logits of shape (2, 10)"),
        (torch.ones(2, 10, dtype=torch.int64), "returned shape (2, 10) (torch.int64)"),
        ({"logits": torch.rand(2, 10)}, "returned dict for a batch of 2 images; classification needs a tensor"),
        (None, "returned NoneType"),
    ],
    ids=["classes", "axes", "type", "dict", "nothing"],
)
def test_an_answer_of_no_use_is_described(output: object, message: str) -> None:
    with pytest.raises(TrialError) as error:
        task_of(10).check_output(output, {"image": torch.rand(2, 3, 4, 4)})
    assert message in str(error.value)
