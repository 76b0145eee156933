"""Boxes move with their images, and are dropped when too little of them is left."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainyard.data.augment import Augmenter, Share, maps
from trainyard.data.augment.boxes import moved_boxes
from trainyard.data.manifest import VOID
from trainyard.spec.augmentations import Augmentations

SIZE = {"height": 100, "width": 200}
BOXES = torch.tensor([[[20.0, 10.0, 60.0, 30.0], [0.0, 0.0, 200.0, 100.0], [0.0, 0.0, 0.0, 0.0]]])
LABELS = torch.tensor([[3, 0, -1]])
CROWD = torch.tensor([[True, False, False]])


def moved(move: np.ndarray, *, min_visible: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    theta = torch.from_numpy(move[:, :2]).float()
    return moved_boxes(BOXES, LABELS, CROWD, theta, **SIZE, min_visible=min_visible)


def shifted(right: float, down: float) -> np.ndarray:
    return maps.shifted(np.array([right]), np.array([down]))


def test_a_flipped_box_is_the_mirror_image() -> None:
    boxes, labels, crowd = moved(maps.mirrored(np.array([True]), np.array([True]), **SIZE), min_visible=1.0)
    expected = torch.tensor([[[140.0, 70.0, 180.0, 90.0], [0.0, 0.0, 200.0, 100.0], [0.0, 0.0, 0.0, 0.0]]])
    assert torch.equal(boxes, expected)
    assert torch.equal(labels, LABELS)
    assert torch.equal(crowd, CROWD)


def test_a_turned_box_is_the_hull_of_its_corners() -> None:
    angle = np.radians(30)
    boxes, _, _ = moved(maps.about_centre(maps.turned(np.array([angle])), **SIZE))
    corners = np.array([[20, 10], [60, 10], [20, 30], [60, 30]]) - [100, 50]
    turned = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + [100, 50]
    low, high = turned.min(axis=0).clip(0), turned.max(axis=0).clip(0, [200, 100])
    torch.testing.assert_close(boxes[0, 0], torch.tensor([*low, *high]).float())


def test_a_box_is_cut_off_at_the_edges() -> None:
    boxes, labels, _ = moved(shifted(-40, -15))
    assert boxes[0, 0].tolist() == [0, 0, 20, 15]
    assert boxes[0, 1].tolist() == [0, 0, 160, 85]
    assert labels.tolist() == [[3, 0, -1]]


@pytest.mark.parametrize(("min_visible", "kept"), [(0.0, True), (0.25, True), (0.26, False)])
def test_a_box_is_dropped_when_less_than_its_share_is_visible(min_visible: float, kept: bool) -> None:
    """A quarter of its area is left."""
    boxes, labels, crowd = moved(shifted(-50, 0), min_visible=min_visible)
    assert labels.tolist() == [[3 if kept else -1, 0, -1]]
    assert boxes[0, 0].tolist() == ([0, 10, 10, 30] if kept else [0, 0, 0, 0])
    assert crowd.tolist() == [[kept, False, False]]


@pytest.mark.parametrize(("right", "down"), [(-60, 0), (180, 0), (0, -30), (0, 95), (-500, -500)])
def test_a_box_that_leaves_the_image_is_dropped(right: float, down: float) -> None:
    _, labels, crowd = moved(shifted(right, down), min_visible=0.0)
    assert labels[0, 0] == -1
    assert not crowd[0, 0]


def test_places_without_a_box_stay_without_one() -> None:
    boxes, labels, _ = moved(shifted(30, 20))
    assert labels[0, 2] == -1
    assert boxes[0, 2].tolist() == [0, 0, 0, 0]


def test_boxes_of_samples_that_do_not_move_are_the_same_bits() -> None:
    rows, odd = 64, torch.tensor([1 / 3, 2 / 7, 11.1, 8.7])
    batch = batch_with_mask(rows) | {"boxes": odd.repeat(rows, 1, 1)}
    result = augmented({"rotate": {"degrees": 20, "p": 0.5}}, batch)
    still = (result["image"] == batch["image"]).all(dim=(1, 2, 3))
    assert 10 < still.sum() < 54
    assert torch.equal(result["boxes"][still], batch["boxes"][still])
    assert not (result["boxes"][~still] == batch["boxes"][~still]).all(dim=(1, 2)).any()


def batch_with_mask(rows: int) -> dict[str, Tensor]:
    """A mask that paints the only box of each image."""
    mask = torch.zeros((rows, 40, 60), dtype=torch.uint8)
    mask[:, 12:25, 18:41] = 1
    return {
        "image": torch.rand((rows, 1, 40, 60), generator=torch.Generator().manual_seed(0)),
        "mask": mask,
        "boxes": torch.tensor([18.0, 12.0, 41.0, 25.0]).repeat(rows, 1, 1),
        "box_labels": torch.ones((rows, 1), dtype=torch.int64),
        "box_crowd": torch.zeros((rows, 1), dtype=torch.bool),
    }


def augmented(settings: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    height, width = batch["image"].shape[2:]
    share = Share(steps=1, batch_size=len(batch["image"]))
    made = Augmenter(Augmentations.model_validate(settings), seed=0)
    return made.draw(1, share, height=height, width=width, device=torch.device("cpu")).apply(batch, 0)


@pytest.mark.parametrize(
    ("settings", "slack"),
    [
        ({"horizontal_flip": {}, "padding_crop": {"pixels": 9}}, 0.0),
        ({"horizontal_flip": {}, "vertical_flip": {}, "scale": {"low": 0.7, "high": 1.3}}, 1.0),
        ({"random_resized_crop": {"area_low": 0.3}}, 2.0),
        ({"translate": {"fraction": 0.4}}, 1.0),
        ({"rotate": {"degrees": 90}, "shear": {"degrees": 20, "vertical_degrees": 10}}, None),
        ({"trivial_augment": {}, "rand_augment": {"magnitude": 20}}, None),
    ],
    ids=["flip and shift", "flip and scale", "crop", "translate", "turn and shear", "policies"],
)
def test_a_mask_that_paints_the_box_stays_in_it(settings: Mapping[str, Any], slack: float | None) -> None:
    """Up to half a pixel, which the nearest pixel may be off, and the box is no larger where nothing is turned."""
    rows = 100
    result = augmented({**settings, "min_visible": 0.0}, batch_with_mask(rows))
    seen = 0
    for mask, box, label in zip(result["mask"], result["boxes"][:, 0], result["box_labels"][:, 0], strict=True):
        painted = (mask == 1).nonzero()
        if len(painted) == 0:
            continue
        seen += 1
        assert label == 1
        low, high = painted.amin(0).flip(0), painted.amax(0).flip(0) + 1
        assert (box[:2] <= low + 0.5 + 1e-3).all()
        assert (box[2:] >= high - 0.5 - 1e-3).all()
        if slack is not None:
            assert (torch.cat([low, high]) - box).abs().max() <= slack + 1e-3
    assert seen > rows // 2
    assert (result["mask"] != VOID).any()
