"""How many images are drawn, as a job says it."""

from typing import Any

import pytest

from trainyard.errors import SpecError
from trainyard.spec.check import check
from trainyard.spec.job import Job
from trainyard.spec.space import Space

SEGMENTATION: dict[str, Any] = {
    "name": "shapes",
    "task": "semantic_segmentation",
    "data": {"path": "data/shapes"},
    "model": {"name": "unet"},
    "loss": {"cross_entropy": {}},
    "optimizer": {"name": "adamw", "lr": 0.01},
    "training": {"epochs": 1, "batch_size": 8},
    "objective": {"metric": "val/miou", "mode": "max"},
}
CLASSIFICATION = SEGMENTATION | {
    "task": "classification",
    "model": {"name": "cnn"},
    "objective": {"metric": "val/accuracy", "mode": "max"},
}


@pytest.mark.parametrize(
    ("job", "drawn"),
    [
        (SEGMENTATION, 4),
        (SEGMENTATION | {"pictures": {"images": 9}}, 9),
        (SEGMENTATION | {"pictures": {"images": 0}}, 0),
        (CLASSIFICATION, 0),
        (CLASSIFICATION | {"pictures": {"images": 0}}, 0),
    ],
    ids=["by default", "stated", "none", "of classes", "of classes, stated"],
)
def test_so_many_images_are_drawn(job: dict[str, Any], drawn: int) -> None:
    assert Job.from_dict(job).pictured == drawn


def test_classes_are_not_drawn() -> None:
    with pytest.raises(SpecError, match=r"pictures\.images doesn't fit the task classification") as caught:
        Job.from_dict(CLASSIFICATION | {"pictures": {"images": 4}})
    assert "Set it to 0." in str(caught.value)


@pytest.mark.parametrize("images", [-1, 65, 2.5])
def test_a_number_that_is_none_is_refused(images: float) -> None:
    with pytest.raises(SpecError, match=r"pictures\.images must be"):
        Job.from_dict(SEGMENTATION | {"pictures": {"images": images}})


def test_it_can_be_searched_like_any_setting() -> None:
    space = {"parameters": {"pictures.images": {"type": "categorical", "choices": [2, 4]}}}
    check(Job.from_dict(SEGMENTATION), Space.from_dict(space))
