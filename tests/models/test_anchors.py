"""Where a two-stage detector starts from, and what it learns from."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import box_iou

from trainyard.models.anchors import BACKGROUND, NEITHER, OBJECT, Sampler, Truth, anchor_grid, anchor_shapes, matched

NONE = torch.zeros(0, 4)


def truth_of(
    boxes: Sequence[Sequence[float]] | Tensor = NONE, crowd: Sequence[Sequence[float]] | Tensor = NONE
) -> Truth:
    boxes, crowd = (torch.as_tensor(part, dtype=torch.float32).reshape(-1, 4) for part in (boxes, crowd))
    return Truth(boxes, torch.zeros(len(boxes), dtype=torch.int64), crowd)


def random_boxes(count: int, seed: int, side: float = 60) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand((count, 2), generator=random) * 100
    return torch.cat([corner, corner + 5 + torch.rand((count, 2), generator=random) * side], dim=1)


def kinds(boxes: Tensor, truth: Truth, *, positive: float = 0.7, negative: float = 0.3, each: bool = True) -> list[int]:
    return matched(boxes, truth, positive=positive, negative=negative, each_has_one=each).kind.tolist()


def test_shapes_have_their_areas_and_ratios() -> None:
    width, height = (lambda box: (box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]))(anchor_shapes([8, 20], [0.5, 1, 2]))
    torch.testing.assert_close((width * height).sqrt(), torch.tensor([8.0, 20] * 3))
    torch.testing.assert_close(height / width, torch.tensor([0.5, 0.5, 1, 1, 2, 2]))


def test_they_are_torchvisions_in_the_middle_of_each_cell() -> None:
    """torchvision has them on the corner of a cell, and rounds them to whole pixels: those of even sides stay."""
    generator = AnchorGenerator(sizes=((32, 64),), aspect_ratios=((0.25, 1.0, 4.0),))
    theirs = generator.grid_anchors([[3, 5]], [[torch.tensor(16), torch.tensor(16)]])[0]
    ours = anchor_grid(anchor_shapes([32, 64], [0.25, 1.0, 4.0]), rows=3, columns=5, stride=16)
    torch.testing.assert_close(ours, theirs + 8)


@pytest.mark.parametrize("each", [True, False])
def test_matches_are_torchvisions(each: bool) -> None:
    boxes, truth = random_boxes(400, 0), truth_of(random_boxes(7, 1))
    found = matched(boxes, truth, positive=0.6, negative=0.3, each_has_one=each)
    theirs = Matcher(0.6, 0.3, allow_low_quality_matches=each)(box_iou(truth.boxes, boxes))

    assert found.kind.tolist() == [{-1: BACKGROUND, -2: NEITHER}.get(int(index), OBJECT) for index in theirs]
    assert found.box[theirs >= 0].tolist() == theirs[theirs >= 0].tolist()
    assert set(found.kind.tolist()) == {OBJECT, BACKGROUND, NEITHER}


def test_a_box_that_no_anchor_overlaps_makes_none_of_them_an_object() -> None:
    anchors = torch.tensor([[0.0, 0, 4, 4], [16, 0, 20, 4]])
    assert kinds(anchors, truth_of([[8, 0, 11, 3]])) == [BACKGROUND, BACKGROUND]


def test_without_boxes_all_is_background() -> None:
    assert kinds(random_boxes(5, 0), truth_of()) == [BACKGROUND] * 5
    assert kinds(NONE, truth_of(random_boxes(2, 0))) == []


def test_in_a_crowd_nothing_is_background_and_objects_stay() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [8, 0, 18, 10], [40, 0, 50, 10], [2, 2, 4, 4]])
    truth = truth_of(boxes=[[2, 2, 4, 4]], crowd=[[0, 0, 11, 11]])
    # The second has 0.3 of its area in the crowd, no less than negative.
    assert kinds(anchors, truth) == [NEITHER, NEITHER, BACKGROUND, OBJECT]
    assert kinds(anchors, truth, negative=0.31)[1] == BACKGROUND


KINDS = torch.tensor([OBJECT] * 30 + [BACKGROUND] * 100 + [NEITHER] * 20)


@pytest.mark.parametrize(("count", "objects", "background"), [(20, 5, 15), (400, 30, 100), (60, 15, 45)])
def test_a_sample_has_its_share_of_objects(count: int, objects: int, background: int) -> None:
    drawn = Sampler(count, 0.25)(KINDS, training=True)
    assert [len(part) for part in drawn] == [objects, background]
    assert KINDS[drawn[0]].eq(OBJECT).all()
    assert KINDS[drawn[1]].eq(BACKGROUND).all()
    assert len(set(torch.cat(drawn).tolist())) == objects + background


def test_a_share_that_no_binary_number_is_loses_no_object() -> None:
    assert 100 * 0.29 < 29
    assert [len(part) for part in Sampler(100, 0.29)(KINDS, training=True)] == [29, 71]


def test_it_is_drawn_from_torchs_random_state_to_train_and_always_alike_to_evaluate() -> None:
    sampler = Sampler(20, 0.25)

    def drawn(seed: int, *, training: bool) -> list[int]:
        torch.manual_seed(seed)
        return torch.cat(sampler(KINDS, training=training)).tolist()

    with torch.random.fork_rng():
        assert drawn(0, training=True) == drawn(0, training=True) != drawn(1, training=True)
        assert drawn(0, training=False) == drawn(1, training=False)
