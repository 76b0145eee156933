"""Boxes, losses and metrics of objects, each against a computation of its own."""

from math import log
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

from trainyard.data.augment import JITTER, Augmenter, Share
from trainyard.data.manifest import VOID
from trainyard.errors import TrialError
from trainyard.losses.class_weights import ClassCounts
from trainyard.spec.augmentations import Augmentations
from trainyard.spec.loss import Loss
from trainyard.spec.prompts import Prompts
from trainyard.tasks.promptable_segmentation import PromptableSegmentation, objects_against_rest
from trainyard.tasks.prompted import Objects, moved_edges

CPU = torch.device("cpu")
HEIGHT, WIDTH = 12, 16


def task(
    loss: dict[str, Any] | None = None, class_counts: ClassCounts | None = None, **prompts: Any
) -> PromptableSegmentation:
    return PromptableSegmentation(
        prompts=Prompts.model_validate({"per": "component", "most": 4, **prompts}),
        class_counts=class_counts or ClassCounts((300, 100)),
        loss=Loss.model_validate(loss or {"binary_cross_entropy": {}}),
        device=CPU,
    )


def maps() -> Tensor:
    """Three images: of three objects and a void corner, of none, and of six, of which four are asked for."""
    found = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    found[0, 1:6, 2:9] = 1
    found[0, 8:10, 10:15] = 2
    found[0, 11, 15] = 3
    found[0, :4, :4] = VOID
    for number in range(1, 7):
        found[2, 2 * number - 2, : 14 - number] = number
    return found


def batch(**columns: Tensor) -> dict[str, Tensor]:
    return {"image": torch.rand(3, 3, HEIGHT, WIDTH), "mask": maps(), **columns}


def logits(seed: int = 0, objects: int = 4) -> Tensor:
    return torch.randn(3, objects, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def test_boxes_are_those_of_numpy() -> None:
    found = Objects.of(maps(), 4)
    for image, mask in enumerate(maps().numpy()):
        for place in range(4):
            rows, columns = np.nonzero(mask == place + 1)
            expected = [0, 0, WIDTH, HEIGHT]
            if len(rows):
                expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert found.boxes[image, place].tolist() == expected
            assert found.there[image, place].item() == bool(len(rows))
    assert found.boxes.dtype == torch.float32


def test_one_object_for_each_mask_has_one_box() -> None:
    images, boxes = task(per="mask", most=8).inputs(batch())
    assert images.shape == (3, 3, HEIGHT, WIDTH)
    assert boxes.shape == (3, 1, 4)


def test_a_model_is_given_embeddings_where_there_are_any() -> None:
    embedding = torch.rand(3, 8, 2, 2).half()
    given, boxes = task().inputs(batch(embedding=embedding))
    assert given.dtype == torch.float32
    assert torch.equal(given, embedding.float())
    assert boxes.shape == (3, 4, 4)


def expected_loss(answer: Tensor, of_object: Any) -> float:
    """The mean over images of the mean over their objects of what is told of an object's pixels that aren't void."""
    total = 0.0
    for image, mask in enumerate(maps()):
        own = [
            of_object(answer[image, place][mask != VOID], (mask == place + 1)[mask != VOID])
            for place in range(4)
            if (mask == place + 1).any()
        ]
        total += sum(own) / len(own) if own else 0.0
    return total / 3


def test_the_loss_is_the_mean_over_images_of_that_of_their_objects() -> None:
    loss, terms = task().losses(logits(), batch())
    expected = expected_loss(
        logits(), lambda own, inside: functional.binary_cross_entropy_with_logits(own, inside.float()).item()
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert terms["binary_cross_entropy"].item() == pytest.approx(expected, rel=1e-5)


def test_dice_of_the_object_alone_is_the_textbooks() -> None:
    def dice(own: Tensor, inside: Tensor) -> float:
        found = own.sigmoid()
        return float(1 - 2 * (found * inside).sum() / (found.sum() + inside.sum()))

    loss, _ = task({"dice": {"include_background": False}}).losses(logits(), batch())
    assert loss.item() == pytest.approx(expected_loss(logits(), dice), rel=1e-4)


def test_what_is_answered_to_an_object_that_is_not_there_counts_nowhere() -> None:
    answer = logits().requires_grad_()
    own = task({"binary_cross_entropy": {}, "dice": {}})
    loss, _ = own.losses(answer, batch())
    loss.backward()
    there = Objects.of(maps(), 4).there
    assert answer.grad is not None
    moved = answer.grad.abs().flatten(2).amax(2) > 0
    assert torch.equal(moved, there)

    meter = own.evaluation_meter()
    meter.update(logits(), batch())
    before = meter.compute()
    meter.reset()
    meter.update(torch.where(there[..., None, None], logits(), 100.0), batch())
    assert meter.compute() == before


def test_images_without_any_object_have_no_loss_and_no_measure() -> None:
    empty = {"image": torch.zeros(2, 3, HEIGHT, WIDTH), "mask": torch.zeros(2, HEIGHT, WIDTH, dtype=torch.uint8)}
    own = task({"binary_cross_entropy": {}, "dice": {}, "lovasz": {}, "tversky": {"gamma": 2.0}})
    answer = logits()[:2].requires_grad_()
    loss, _ = own.losses(answer, empty)
    loss.backward()
    assert loss.item() == 0
    assert answer.grad is not None
    assert torch.equal(answer.grad, torch.zeros_like(answer))
    meter = own.evaluation_meter()
    meter.update(logits()[:2], empty)
    assert meter.compute() == {"iou": 0.0, "dice": 0.0}


def test_metrics_are_means_over_objects_of_torchmetrics() -> None:
    ious, dices = [], []
    for image, mask in enumerate(maps()):
        labelled = mask != VOID
        for place in range(4):
            inside = mask == place + 1
            if inside.any():
                pair = ((logits()[image, place] > 0)[labelled].int(), inside[labelled].int())
                ious.append(binary_jaccard_index(*pair).item())
                dices.append(binary_f1_score(*pair).item())
    assert len(ious) == 7
    meter = task().evaluation_meter()
    for row in range(3):
        meter.update(logits()[row : row + 1], {name: column[row : row + 1] for name, column in batch().items()})
    values = meter.compute()
    assert values == pytest.approx({"iou": np.mean(ious), "dice": np.mean(dices)}, rel=1e-6)
    training = task().training_meter()
    training.update(logits(), batch())
    assert training.compute() == pytest.approx({"iou": values["iou"]})


def many(images: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits and masks of images whose objects, and what is answered to them, differ in size."""
    random = torch.Generator().manual_seed(0)
    mask = torch.randint(0, 6, (images, HEIGHT, WIDTH), generator=random).to(torch.uint8)
    mask[torch.rand(mask.shape, generator=random) < torch.rand(images, 1, 1, generator=random)] = 0
    return torch.randn(images, 4, HEIGHT, WIDTH, generator=random), {"mask": mask}


@pytest.mark.parametrize("workers", [(20, 20), (7, 0, 33), (1, 1, 30, 8)])
def test_any_number_of_workers_makes_exactly_the_measures_of_one(workers: tuple[int, ...]) -> None:
    output, columns = many(sum(workers))
    alone, *members = (task().evaluation_meter() for _ in range(len(workers) + 1))
    for row in range(0, sum(workers), 8):
        alone.update(output[row : row + 8], {"mask": columns["mask"][row : row + 8]})
    parts = zip(members, output.split(workers), columns["mask"].split(workers), strict=True)
    for member, own, mask in parts:
        for row in range(0, len(own), 3):
            member.update(own[row : row + 3], {"mask": mask[row : row + 3]})
    joined = [torch.cat(parts) for parts in zip(*(member.rows() for member in members), strict=True)]
    for member in members:
        member.set_rows(joined)
        assert member.compute() == alone.compute()


def test_jitter_moves_each_edge_by_no_more_than_it_says_and_only_in_training() -> None:
    own = task(jitter=2.0)
    plain = Objects.of(maps(), 4).boxes
    draws = Augmenter(Augmentations(), seed=0).draw(
        1, Share(steps=1, batch_size=3), height=HEIGHT, width=WIDTH, device=CPU
    )
    _, moved = own.inputs(own.augment(batch(), draws, 0))
    assert not torch.equal(moved, plain)
    assert (moved - plain).abs().max() <= 2
    assert torch.equal(own.inputs(batch())[1], plain)
    assert torch.equal(task().inputs(task().augment(batch(), draws, 0))[1], plain)


def test_jitter_is_drawn_anew_in_each_step_and_alike_on_any_number_of_workers() -> None:
    def shifts(step: int, *, epoch: int = 1, rank: int = 0, workers: int = 1) -> Tensor:
        share = Share(steps=3, batch_size=4, rank=rank, workers=workers)
        draws = Augmenter(Augmentations(), seed=0).draw(epoch, share, height=HEIGHT, width=WIDTH, device=CPU)
        return draws.uniform(JITTER, step, -2.0, 2.0, 8, 4)

    whole = shifts(1)
    assert whole.shape == (4, 8, 4)
    assert whole.abs().max() <= 2
    assert torch.equal(torch.cat([shifts(1, rank=rank, workers=2) for rank in (0, 1)]), whole)
    assert not any(torch.equal(other, whole) for other in (shifts(0), shifts(2), shifts(1, epoch=2)))


def test_jittered_boxes_stay_in_the_image_and_upright() -> None:
    boxes = torch.tensor([[[0.0, 0, 16, 12], [7, 5, 8, 6]]]).repeat(200, 1, 1)
    shifts = 10 * torch.rand(boxes.shape, generator=torch.Generator().manual_seed(0)) - 5
    moved = moved_edges(boxes, shifts, height=HEIGHT, width=WIDTH)
    left, top, right, bottom = moved.unbind(2)
    assert (left >= 0).all() and (top >= 0).all() and (right <= WIDTH).all() and (bottom <= HEIGHT).all()  # noqa: PT018
    assert (left <= right).all()
    assert (top <= bottom).all()


def test_boxes_are_around_what_augmentation_leaves_of_an_object() -> None:
    own = task()
    flip = Augmentations.model_validate({"horizontal_flip": {"p": 1.0}})
    draws = Augmenter(flip, seed=0).draw(1, Share(steps=1, batch_size=3), height=HEIGHT, width=WIDTH, device=CPU)
    augmented = own.augment(batch(), draws, 0)
    assert torch.equal(augmented["mask"], maps().flip(2))
    expected = Objects.of(maps(), 4).boxes[..., [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1]) + torch.tensor(
        [WIDTH, 0, WIDTH, 0]
    )
    assert torch.equal(augmented["boxes"], expected)


def test_embedded_images_are_not_augmented_again() -> None:
    own = task()
    flip = Augmentations.model_validate({"horizontal_flip": {"p": 1.0}})
    draws = Augmenter(flip, seed=0).draw(1, Share(steps=1, batch_size=3), height=HEIGHT, width=WIDTH, device=CPU)
    given = batch(embedding=torch.rand(3, 8, 2, 2).half())
    augmented = own.augment(given, draws, 0)
    assert augmented["image"] is given["image"]
    assert torch.equal(augmented["mask"], maps())


@pytest.mark.parametrize("answer", [torch.zeros(3, 1, HEIGHT, WIDTH), torch.zeros(3, 4, HEIGHT, WIDTH).int(), None])
def test_an_answer_of_another_shape_is_refused(answer: object) -> None:
    with pytest.raises(
        TrialError, match=r"for a batch of 3 images of 12x16 with 4 boxes each; promptable_segmentation"
    ):
        task().check_output(answer, batch())
    task().check_output(logits(), batch())


def test_by_inverse_frequency_objects_and_the_rest_make_half_of_the_loss_each() -> None:
    classes = torch.randint(0, 3, (3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0))
    counts = objects_against_rest(ClassCounts(classes.flatten().bincount().tolist()))
    own = task({"binary_cross_entropy": {"class_weights": "inverse_frequency"}}, counts, per="mask")
    columns = {"mask": (classes > 0).to(torch.uint8)}
    undecided = torch.zeros(3, 1, HEIGHT, WIDTH)
    sure_of_objects = torch.where(classes[:, None] > 0, 100.0, 0.0)

    whole, half = (own.losses(answer, columns)[0].item() for answer in (undecided, sure_of_objects))

    assert whole == pytest.approx(log(2), rel=1e-5)
    assert half == pytest.approx(log(2) / 2, rel=1e-5)


def test_strips_show_each_object_with_its_box() -> None:
    strips = task().pictures(logits(), batch())
    assert [strip.measure.startswith(("mean IoU 0.", "no object")) for strip in strips] == [True] * 3
    boxes = [len(strip.panels[0].marks) for strip in strips]
    assert boxes == [3, 0, 4]
