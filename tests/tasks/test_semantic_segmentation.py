"""Semantic segmentation: what its metrics mean, and what it refuses."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from trainyard.data.manifest import VOID
from trainyard.errors import TrialError
from trainyard.losses.class_weights import ClassCounts
from trainyard.spec.loss import Loss
from trainyard.tasks.class_metrics import MOST_CLASSES
from trainyard.tasks.semantic_segmentation import SemanticSegmentation
from trainyard.tasks.task import Meter

CPU = torch.device("cpu")
CLASSES = ("sky", "road", "car", "tree", "sign", "train")
LOGITS = torch.randn((6, 6, 9, 7), generator=torch.Generator().manual_seed(0))
LOGITS[:, 5] -= 9  # is never answered
MASKS = torch.randint(0, 4, (6, 9, 7), generator=torch.Generator().manual_seed(1)).to(torch.uint8)  # two are never true
MASKS[0, :4], MASKS[2] = VOID, VOID


COUNTS = (90, 80, 60, 40, 0, 0)


def task_of(
    loss: dict | None = None, *, classes: Sequence[str] = CLASSES, watched: Sequence[str] = ()
) -> SemanticSegmentation:
    mix = Loss.model_validate(loss or {"cross_entropy": {}})
    counts = ClassCounts([COUNTS[index % len(COUNTS)] for index in range(len(classes))])
    return SemanticSegmentation(classes=classes, class_counts=counts, loss=mix, device=CPU, watched=watched)


def filled(meter: Meter, *parts: slice) -> Meter:
    meter.reset()
    for part in parts:
        meter.update(LOGITS[part], {"mask": MASKS[part]})
    return meter


def expected() -> dict[str, float]:
    """By torchmetrics; the last class is left out of what it reports for each, as it is nowhere."""
    from torchmetrics import classification as metrics

    def value(metric: type, average: str | None) -> Tensor:
        return metric(len(CLASSES), average=average, ignore_index=VOID)(LOGITS, MASKS.long())

    iou, dice = (value(metric, None).tolist() for metric in (metrics.MulticlassJaccardIndex, metrics.MulticlassF1Score))
    return {
        "miou": value(metrics.MulticlassJaccardIndex, "macro").item(),
        "dice": value(metrics.MulticlassF1Score, "macro").item(),
        "pixel_accuracy": value(metrics.MulticlassAccuracy, "micro").item(),
        **{f"iou/{name}": iou[index] for index, name in enumerate(CLASSES[:5])},
        **{f"dice/{name}": dice[index] for index, name in enumerate(CLASSES[:5])},
    }


def test_metrics_are_torchmetrics() -> None:
    meter = filled(task_of().evaluation_meter(), slice(0, 2), slice(2, 6))
    assert meter.compute() == pytest.approx(expected(), abs=1e-6)
    assert meter.compute()["iou/sign"] == 0


def test_the_sums_of_uneven_workers_make_the_whole() -> None:
    task = task_of()
    workers = [
        filled(task.evaluation_meter(), slice(0, 1)),
        filled(task.evaluation_meter()),
        filled(task.evaluation_meter(), slice(1, 4), slice(4, 6)),
    ]
    totals = [torch.stack(states).sum(0) for states in zip(*(meter.sums() for meter in workers), strict=True)]
    for state, total in zip(workers[1].sums(), totals, strict=True):
        state.copy_(total)
    assert workers[1].compute() == filled(task.evaluation_meter(), slice(0, 6)).compute()


def test_a_split_without_a_labelled_pixel_scores_nothing() -> None:
    assert filled(task_of().evaluation_meter(), slice(2, 3)).compute() == {"miou": 0, "dice": 0, "pixel_accuracy": 0}
    assert filled(task_of().training_meter(), slice(2, 3)).compute() == {"pixel_accuracy": 0}


def test_a_class_that_the_job_names_is_measured_where_nothing_of_it_is_left() -> None:
    """In an image that a resize made small, say: what watches it gets a number in every epoch."""
    values = filled(task_of(watched=["val/iou/train"]).evaluation_meter(), slice(0, 6)).compute()
    assert values == pytest.approx(expected() | {"iou/train": 0, "dice/train": 0}, abs=1e-6)


def test_the_training_meter_counts_labelled_pixels_that_are_right() -> None:
    meter = filled(task_of().training_meter(), slice(0, 2), slice(2, 6))
    assert meter.compute() == {"pixel_accuracy": pytest.approx(expected()["pixel_accuracy"])}


def test_of_many_classes_those_that_the_job_names_are_measured_by_themselves() -> None:
    classes = [f"c{index}" for index in range(MOST_CLASSES + 1)]
    few, many = task_of(classes=classes[:-1]), task_of(classes=classes, watched=["val/miou", "val/dice/c3"])
    assert {f"val/iou/{name}" for name in classes[:-1]} <= few.metrics
    assert {metric for metric in many.metrics if metric.count("/") == 2} == {"val/iou/c3", "val/dice/c3"}

    meter = many.evaluation_meter()
    logits = torch.randn((6, MOST_CLASSES + 1, 9, 7), generator=torch.Generator().manual_seed(3))
    meter.update(logits, {"mask": MASKS})
    assert {name for name in meter.compute() if "/" in name} == {"iou/c3", "dice/c3"}


TWO = MASKS.clone()
TWO[TWO != VOID] %= 2
SINGLE = torch.randn((6, 1, 9, 7), generator=torch.Generator().manual_seed(4))
SINGLE[0, 0, 0, 0] = 0


def test_a_single_logit_is_measured_as_two_are() -> None:
    binary = task_of({"binary_cross_entropy": {}, "dice": {}}, classes=("nothing", "cell"))
    both = task_of({"cross_entropy": {}, "dice": {}}, classes=("nothing", "cell"))
    two = torch.cat([torch.zeros_like(SINGLE), SINGLE], dim=1)
    assert (binary.outputs, both.outputs) == (1, 2)
    for of_one, of_two in (
        (binary.evaluation_meter(), both.evaluation_meter()),
        (binary.training_meter(), both.training_meter()),
    ):
        of_one.update(SINGLE, {"mask": TWO})
        of_two.update(two, {"mask": TWO})
        assert of_one.compute() == of_two.compute()
    one, other = binary.losses(SINGLE, {"mask": TWO}), both.losses(two, {"mask": TWO})
    torch.testing.assert_close(one[0], other[0])
    binary.check_output(SINGLE, {"image": torch.rand(6, 3, 9, 7)})
    with pytest.raises(TrialError, match=r"with 2 classes by a single logit needs .* of shape \(6, 1, 9, 7\)"):
        binary.check_output(two, {"image": torch.rand(6, 3, 9, 7)})


def test_the_positive_weight_is_for_the_second_class() -> None:
    plain, weighted = (
        task_of({"binary_cross_entropy": {"positive_weight": weight}}, classes=("nothing", "cell"))
        for weight in (1.0, 3.0)
    )
    for label, factor in ((0, 1), (1, 3)):
        batch = {"mask": torch.full((6, 9, 7), label, dtype=torch.uint8)}
        torch.testing.assert_close(weighted.losses(SINGLE, batch)[0], factor * plain.losses(SINGLE, batch)[0])


@pytest.mark.parametrize("term", ["cross_entropy", "focal", "dice", "lovasz"])
def test_void_pixels_have_no_part_in_the_loss(term: str) -> None:
    task = task_of({term: {}})
    elsewhere = torch.where((MASKS == VOID)[:, None], torch.zeros(()), LOGITS)
    batches = [task.losses(logits, {"mask": MASKS})[0] for logits in (LOGITS, elsewhere)]
    torch.testing.assert_close(*batches)
    assert (MASKS == VOID).any()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            torch.rand(2, 6, 5, 7),
            "returned shape (2, 6, 5, 7) (torch.float32) for a batch of 2 images of 9x7; semantic_segmentation with 6 "
            "classes needs a float tensor of logits of shape (2, 6, 9, 7).",
        ),
        (torch.rand(2, 9, 7), "returned shape (2, 9, 7)"),
        (
            {"out": torch.rand(2, 6, 9, 7)},
            "returned dict for a batch of 2 images of 9x7; semantic_segmentation with 6 classes needs a float tensor",
        ),
    ],
    ids=["size", "axes", "dict"],
)
def test_an_answer_of_no_use_is_described(output: object, message: str) -> None:
    with pytest.raises(TrialError) as error:
        task_of().check_output(output, {"image": torch.rand(2, 3, 9, 7)})
    assert message in str(error.value)
