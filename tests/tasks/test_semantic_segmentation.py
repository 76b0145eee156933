"""Semantic segmentation: what its metrics mean, and what it refuses."""

import pytest
import torch
from torch import Tensor

from trainyard.data.manifest import VOID
from trainyard.errors import TrialError
from trainyard.spec.loss import Loss
from trainyard.tasks.semantic_segmentation import SemanticSegmentation
from trainyard.tasks.task import Meter

CPU = torch.device("cpu")
CLASSES = ("sky", "road", "car", "tree", "sign", "train")
LOGITS = torch.randn((6, 6, 9, 7), generator=torch.Generator().manual_seed(0))
LOGITS[:, 5] -= 9  # is never answered
MASKS = torch.randint(0, 4, (6, 9, 7), generator=torch.Generator().manual_seed(1)).to(torch.uint8)  # two are never true
MASKS[0, :4], MASKS[2] = VOID, VOID


def task_of(loss: dict | None = None) -> SemanticSegmentation:
    mix = Loss.model_validate(loss or {"cross_entropy": {}})
    return SemanticSegmentation(classes=CLASSES, class_totals=[90, 80, 60, 40, 0, 0], loss=mix, device=CPU)


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

    by_class = value(metrics.MulticlassJaccardIndex, None).tolist()
    return {
        "miou": value(metrics.MulticlassJaccardIndex, "macro").item(),
        "dice": value(metrics.MulticlassF1Score, "macro").item(),
        "pixel_accuracy": value(metrics.MulticlassAccuracy, "micro").item(),
        **{f"iou/{name}": iou for name, iou in zip(CLASSES[:5], by_class[:5], strict=True)},
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


def test_the_training_meter_counts_labelled_pixels_that_are_right() -> None:
    meter = filled(task_of().training_meter(), slice(0, 2), slice(2, 6))
    assert meter.compute() == {"pixel_accuracy": pytest.approx(expected()["pixel_accuracy"])}


@pytest.mark.parametrize("term", ["cross_entropy", "focal"])
def test_void_pixels_have_no_part_in_the_loss(term: str) -> None:
    task = task_of({term: {"class_weights": "inverse_frequency"}})
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
