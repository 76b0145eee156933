"""Detection: what its metrics mean, and what it refuses."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from trainyard.errors import TrialError
from trainyard.spec.loss import Loss
from trainyard.tasks.class_metrics import MOST_CLASSES
from trainyard.tasks.detection import Detection
from trainyard.tasks.task import Meter

CPU = torch.device("cpu")
CLASSES = ("cell", "platelet", "other")
IMAGES, MOST = 5, 6
MIX = {"heatmap": {"weight": 1.0}, "size": {"weight": 0.1}}

Found = list[dict[str, Tensor]]


def task_of(*, classes: Sequence[str] = CLASSES, watched: Sequence[str] = ()) -> Detection:
    return Detection(classes=classes, loss=Loss.model_validate(MIX), device=CPU, watched=watched)


def boxes(count: int, random: torch.Generator) -> Tensor:
    corner = torch.rand((count, 2), generator=random) * 80
    return torch.cat([corner, corner + 10 + torch.rand((count, 2), generator=random) * 30], dim=1)


def made_up() -> tuple[Mapping[str, Tensor], Found]:
    """Images with 6, 5, ... true boxes, some of them crowds, none of the last class; and what was found, one of the
    boxes off by far, the others by little. In the last image nothing was found."""
    random = torch.Generator().manual_seed(0)
    truth = torch.stack([boxes(MOST, random) for _ in range(IMAGES)])
    labels = torch.randint(0, 2, (IMAGES, MOST), generator=random)
    for image in range(IMAGES):
        labels[image, MOST - image :] = -1
    crowd = torch.rand((IMAGES, MOST), generator=random) < 0.2
    found: Found = []
    for image in range(IMAGES):
        count = 0 if image == IMAGES - 1 else MOST
        moved = truth[image, :count] + torch.randn((count, 4), generator=random) * 2
        moved[:1] += 30
        scores = torch.rand(count, generator=random)
        found.append({"boxes": moved, "scores": scores, "labels": labels[image, :count].clamp_min(0)})
    return {"boxes": truth, "box_labels": labels, "box_crowd": crowd}, found


def part(of: Mapping[str, Tensor], found: Found, rows: slice) -> tuple[tuple[dict, Found], Mapping[str, Tensor]]:
    return ({}, found[rows]), {name: column[rows] for name, column in of.items()}


def filled(meter: Meter, *parts: slice) -> Meter:
    batch, found = made_up()
    meter.reset()
    for rows in parts:
        meter.update(*part(batch, found, rows))
    return meter


def expected() -> dict[str, float]:
    from torchmetrics.detection.mean_ap import MeanAveragePrecision

    batch, found = made_up()
    metric = MeanAveragePrecision(backend="faster_coco_eval", class_metrics=True)
    for image in range(IMAGES):
        there = batch["box_labels"][image] >= 0
        truth = {"boxes": batch["boxes"], "labels": batch["box_labels"], "iscrowd": batch["box_crowd"]}
        metric.update([found[image]], [{name: values[image][there].clone() for name, values in truth.items()}])
    values = metric.compute()
    by_class = {f"ap/{CLASSES[label]}": values["map_per_class"][label].item() for label in range(2)}
    return {
        name: values[key].item() for name, key in (("map", "map"), ("map50", "map_50"), ("map75", "map_75"))
    } | by_class


def test_metrics_are_torchmetrics() -> None:
    meter = filled(task_of().evaluation_meter(), slice(0, 2), slice(2, 5))
    values = meter.compute()
    assert values == pytest.approx(expected())
    assert 0.2 < values["map"] < values["map50"] < 1


def test_the_measures_of_each_class_can_be_objectives() -> None:
    assert task_of().metrics == {
        *("val/loss", "train/loss", "val/map", "val/map50", "val/map75"),
        *("val/ap/cell", "val/ap/platelet", "val/ap/other"),
    }


def test_a_class_that_the_job_names_is_measured_where_no_box_of_it_is_left() -> None:
    """As all of them are difficult, say: what watches it gets a number in every epoch."""
    task = task_of(watched=["val/ap/other", "val/ap/cell"])
    assert filled(task.evaluation_meter(), slice(0, 5)).compute() == pytest.approx(expected() | {"ap/other": 0})


def test_of_many_classes_those_that_the_job_names_are_measured_by_themselves() -> None:
    classes = [*CLASSES, *(f"c{index}" for index in range(MOST_CLASSES - 2))]
    few, many = task_of(classes=classes[:-1]), task_of(classes=classes, watched=["val/map", "val/ap/platelet"])
    assert {f"val/ap/{name}" for name in classes[:-1]} <= few.metrics
    assert {metric for metric in many.metrics if metric.count("/") == 2} == {"val/ap/platelet"}
    values = filled(many.evaluation_meter(), slice(0, 5)).compute()
    assert values == pytest.approx({name: value for name, value in expected().items() if name != "ap/cell"})


def joined(workers: Sequence[Meter]) -> list[Tensor]:
    return [torch.cat(parts) for parts in zip(*(meter.rows() for meter in workers), strict=True)]


def test_the_rows_of_uneven_workers_make_the_whole() -> None:
    task = task_of()
    workers = [
        filled(task.evaluation_meter(), slice(0, 1)),
        filled(task.evaluation_meter()),
        filled(task.evaluation_meter(), slice(1, 3), slice(3, 5)),
    ]
    rows = joined(workers)
    workers[1].set_rows(rows)
    assert workers[1].compute() == filled(task.evaluation_meter(), slice(0, 5)).compute()


def test_a_meter_starts_anew() -> None:
    meter = filled(task_of().evaluation_meter(), slice(0, 3))
    meter.set_rows(meter.rows())
    assert filled(meter, slice(0, 5)).compute() == pytest.approx(expected())


def test_what_is_found_in_a_crowd_counts_neither_way() -> None:
    truth = torch.tensor([[[0.0, 0, 10, 10], [20, 20, 60, 60]]])
    batch = {"boxes": truth, "box_labels": torch.tensor([[0, 0]]), "box_crowd": torch.tensor([[False, True]])}
    found = {"boxes": truth[0], "scores": torch.tensor([0.5, 0.9]), "labels": torch.tensor([0, 0])}
    meter = task_of().evaluation_meter()
    meter.update(({}, [found]), batch)
    assert meter.compute() == pytest.approx({"map": 1, "map50": 1, "map75": 1, "ap/cell": 1})


def test_without_a_true_box_there_is_nothing_to_find() -> None:
    none = {
        "boxes": torch.zeros(2, 0, 4),
        "box_labels": torch.zeros(2, 0).long(),
        "box_crowd": torch.zeros(2, 0).bool(),
    }
    meter = task_of().evaluation_meter()
    meter.update(({}, made_up()[1][:2]), none)
    assert meter.compute() == {"map": 0, "map50": 0, "map75": 0}


def test_the_loss_is_the_mix_of_what_the_model_lost() -> None:
    lost = {"heatmap": torch.tensor(2.0), "size": torch.tensor(30.0), "offset": torch.tensor(7.0)}
    total, terms = task_of().losses((lost, []), {})
    assert total.item() == pytest.approx(5.0)
    assert terms == {"heatmap": 2.0, "size": 30.0}


GOOD = {"boxes": torch.zeros(3, 4), "labels": torch.zeros(3).long(), "scores": torch.zeros(3)}
LOST = {"heatmap": torch.tensor(1.0), "size": torch.tensor(1.0)}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.rand(2, 3), "the model returned a tensor of shape (2, 3) (torch.float32); a detector needs a pair"),
        (({"heatmap": torch.tensor(1.0)}, [GOOD, GOOD]), "returned the losses heatmap; the job's mix has size."),
        (({**LOST, "size": torch.ones(2)}, [GOOD, GOOD]), "loss size is a tensor of shape (2,) (torch.float32), not a"),
        ((LOST, [GOOD]), "the model returned list of 1 for a batch of 2 images, not one for each."),
        ((LOST, [GOOD, {"boxes": torch.zeros(3, 4)}]), "found dict with boxes in an image, not tensors boxes, labels"),
        ((LOST, [GOOD, {**GOOD, "scores": torch.zeros(2)}]), "boxes (3, 4), labels (3,), scores (2,) in an image"),
    ],
    ids=["tensor", "missing", "no scalar", "images", "names", "counts"],
)
def test_an_answer_of_no_use_is_described(output: object, message: str) -> None:
    with pytest.raises(TrialError) as error:
        task_of().check_output(output, {"image": torch.rand(2, 3, 8, 8)})
    assert message in str(error.value)


def test_an_answer_of_use_passes() -> None:
    task_of().check_output((LOST, [GOOD, GOOD]), {"image": torch.rand(2, 3, 8, 8)})
