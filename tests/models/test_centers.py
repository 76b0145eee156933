"""Boxes as points: what is learnt from them, and how they are read."""

import math

import pytest
import torch

from trainyard.models.centers import Maps, center_losses, heatmaps, read_boxes
from trainyard.models.detector import Targets

HEIGHT, WIDTH, STRIDE = 32, 48, 4
BOXES = torch.tensor([[8.0, 4.0, 20.0, 12.0], [24.0, 10.0, 46.0, 30.0], [0.0, 0.0, 0.0, 0.0]])
LABELS = torch.tensor([1, 0, -1])


def targets(boxes: torch.Tensor = BOXES, labels: torch.Tensor = LABELS, crowd: list[bool] | None = None) -> Targets:
    """One image."""
    crowds = torch.tensor(crowd or [False] * len(labels))
    return Targets(boxes[None], labels[None], crowds[None])


def flat_maps(images: int = 1) -> Maps:
    shape = (images, 2, HEIGHT // STRIDE, WIDTH // STRIDE)
    return Maps(torch.zeros(shape), torch.zeros(shape), torch.zeros(shape))


def perfect_maps(found: Targets) -> Maps:
    """What a model that has learnt its boxes by heart would answer."""
    maps = flat_maps()
    maps.heatmap.fill_(-20)
    for box, label in zip(found.boxes[0], found.labels[0], strict=True):
        if label < 0:
            continue
        center = (box[:2] + box[2:]) / 2 / STRIDE
        column, row = center.int().tolist()
        maps.heatmap[0, label, row, column] = 20
        maps.size[0, :, row, column] = (box[2:] - box[:2]) / STRIDE
        maps.offset[0, :, row, column] = center - center.floor()
    return maps


def test_what_is_learnt_is_what_is_read() -> None:
    (found,) = read_boxes(perfect_maps(targets()), stride=STRIDE, height=HEIGHT, width=WIDTH)
    best = found["scores"] > 0.5
    torch.testing.assert_close(found["boxes"][best].sort(0)[0], BOXES[:2].sort(0)[0])
    assert sorted(found["labels"][best].tolist()) == [0, 1]


def test_a_perfect_answer_has_no_loss() -> None:
    losses = center_losses(perfect_maps(targets()), targets(), stride=STRIDE)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {"heatmap": 0, "size": 0, "offset": 0}, abs=1e-5
    )


def test_the_heatmap_is_one_at_centres_and_falls_off_with_the_size_of_the_box() -> None:
    cell, size = torch.tensor([[[4, 4], [4, 4]]]), torch.tensor([[[8.0, 8.0], [2.0, 2.0]]])
    large, small = heatmaps(
        cell, size, torch.tensor([[0, 1]]), torch.tensor([[True, True]]), like=torch.zeros(1, 2, 9, 9)
    )[0]
    assert large[4, 4] == small[4, 4] == 1
    radius = 8 - math.sqrt(64 - 64 * 0.3 / 1.7)  # a square moved by it both ways overlaps itself with IoU 0.7
    assert large[4, 5].item() == pytest.approx(math.exp(-1 / (2 * ((2 * radius + 1) / 6) ** 2)), rel=1e-5)
    assert large[4, 6] > small[4, 6]


def test_where_centres_of_a_class_are_close_the_higher_counts() -> None:
    cell, size = torch.tensor([[[2, 4], [4, 4]]]), torch.full((1, 2, 2), 9.0)
    both = heatmaps(cell, size, torch.zeros(1, 2).long(), torch.ones(1, 2).bool(), like=torch.zeros(1, 1, 9, 9))[0, 0]
    assert both[4, 2] == both[4, 4] == 1
    assert both[4, 3] < 1


def test_the_focal_loss_is_the_papers() -> None:
    """Equation 1 for a flat answer of 1/2, by hand from the heatmap that is to be learnt."""
    found = targets()
    centers = torch.tensor([[[3, 2], [8, 5], [0, 0]]])
    size = (BOXES[:, 2:] - BOXES[:, :2])[None] / STRIDE
    truth = heatmaps(centers, size, LABELS[None], found.learnt, like=flat_maps().heatmap)
    assert (truth == 1).sum() == 2
    expected = (torch.where(truth == 1, 0.5**2, (1 - truth) ** 4 * 0.5**2) * math.log(2)).sum() / 2
    torch.testing.assert_close(center_losses(flat_maps(), found, stride=STRIDE)["heatmap"], expected)


def test_distances_are_summed_over_an_images_boxes_and_divided_by_them() -> None:
    losses = center_losses(flat_maps(), targets(), stride=STRIDE)
    assert losses["size"].item() == pytest.approx(((12 + 8) / 4 + (22 + 20) / 4) / 2)
    assert losses["offset"].item() == pytest.approx((0.5 + 0 + 0.75 + 0) / 2)


def test_the_mean_over_workers_is_the_loss_of_the_whole_batch() -> None:
    """Two images with two boxes and none."""
    both = Targets(torch.stack([BOXES, BOXES]), torch.stack([LABELS, torch.full((3,), -1)]), torch.zeros(2, 3).bool())
    maps = Maps(*(torch.randn(2, 2, 8, 12, generator=torch.Generator().manual_seed(seed)) for seed in range(3)))
    whole = center_losses(maps, both, stride=STRIDE)
    for name in whole:
        shares = [
            center_losses(Maps(*(m[i : i + 1] for m in maps)), Targets(*(t[i : i + 1] for t in both)), stride=STRIDE)
            for i in range(2)
        ]
        torch.testing.assert_close((shares[0][name] + shares[1][name]) / 2, whole[name])


def test_an_image_without_boxes_teaches_background_only() -> None:
    losses = center_losses(flat_maps(), targets(labels=torch.full((3,), -1)), stride=STRIDE)
    assert losses["heatmap"] > 0
    assert losses["size"] == losses["offset"] == 0


@pytest.mark.parametrize("crowd", [False, True])
@pytest.mark.parametrize("box", [(20.0, 20, 20, 28), (20, 20, 10, 28), (30, 30, 30, 30)], ids=["flat", "upside", "dot"])
def test_a_box_without_an_area_is_none(box: tuple[float, ...], crowd: bool) -> None:
    boxes = torch.tensor([BOXES[0].tolist(), box])
    with_it = center_losses(flat_maps(), targets(boxes, LABELS[[0, 0]], [False, crowd]), stride=STRIDE)
    assert with_it == center_losses(flat_maps(), targets(BOXES[:1], LABELS[:1]), stride=STRIDE)


def test_a_crowd_is_neither_learnt_nor_background() -> None:
    maps = flat_maps()
    maps.heatmap.fill_(-20)
    maps.heatmap[0, :, 3:7, 7:11] = 20  # within the second box
    assert center_losses(maps, targets(labels=torch.tensor([-1, 0, -1])), stride=STRIDE)["heatmap"] > 10
    losses = center_losses(maps, targets(labels=torch.tensor([-1, 0, -1]), crowd=[False, True, False]), stride=STRIDE)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {"heatmap": 0, "size": 0, "offset": 0}, abs=1e-5
    )


def test_only_peaks_are_read_and_no_box_leaves_the_image() -> None:
    maps = flat_maps()
    maps.heatmap.fill_(-20)
    maps.heatmap[0, 1, 0, 0:3] = torch.tensor([2.0, 3.0, 2.5])  # one hill
    maps.size[:] = 6
    (found,) = read_boxes(maps, stride=STRIDE, height=HEIGHT, width=WIDTH)
    assert (found["scores"] > 0.5).sum() == 1
    assert found["scores"][0].item() == pytest.approx(1 / (1 + math.exp(-3)))
    assert found["boxes"][0].tolist() == [0, 0, 16, 12]
