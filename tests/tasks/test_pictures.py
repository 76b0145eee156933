"""What pictures of answers show, before they are drawn."""

import numpy as np
import pytest
import torch

from trainyard.data.manifest import VOID
from trainyard.data.painting import class_colour
from trainyard.data.strips import SCALE, Strip
from trainyard.tasks.pictures import (
    CROWD_COLOUR,
    PROMPT_COLOUR,
    VOID_COLOUR,
    Boxes,
    box_measure,
    detection_strips,
    mask_measure,
    segmentation_strip,
    segmentation_strips,
)

CLASSES = ("ground", "red", "green")
GREY = 100
"""Of each pixel of the images."""

Pixel = tuple[int, ...]


def over(index: int) -> Pixel:
    """A grey pixel under the colour of its class."""
    return tuple(round(GREY * 0.4 + part * 0.6) for part in class_colour(index))


def pixel(strip: Strip, panel: int, row: int, column: int) -> Pixel:
    return tuple(strip.panels[panel].pixels[row, column].tolist())


def masks() -> dict[str, torch.Tensor]:
    """One image of 8x8: ground on the left, red on the right, the lowest row void."""
    mask = torch.zeros((1, 8, 8), dtype=torch.uint8)
    mask[:, :, 4:] = 1
    mask[:, 7] = VOID
    return {"image": torch.full((1, 3, 8, 8), GREY / 255), "mask": mask}


def test_four_panels_show_image_truth_prediction_and_probability() -> None:
    logits = torch.zeros((1, 3, 8, 8))
    logits[:, 2, :4] = np.log(6)  # green above, with 3 in 4; below all are alike, and the first is answered

    (strip,) = segmentation_strips(logits, masks(), CLASSES)

    assert [panel.caption for panel in strip.panels] == [
        "image",
        "truth",
        "prediction",
        "probability of the answered class",
    ]
    assert pixel(strip, 0, 0, 0) == (GREY,) * 3
    assert (pixel(strip, 1, 0, 0), pixel(strip, 1, 0, 7)) == (over(0), over(1))
    assert (pixel(strip, 2, 0, 0), pixel(strip, 2, 5, 7)) == (over(2), over(0))
    assert pixel(strip, 3, 0, 0) == tuple(SCALE[6]), "3/4 of the way"


def test_void_is_striped_in_the_truth_and_named_in_the_legend() -> None:
    (strip,) = segmentation_strips(torch.zeros((1, 3, 8, 8)), masks(), CLASSES)

    assert {pixel(strip, 1, 7, column) for column in range(8)} == {VOID_COLOUR, (GREY,) * 3}
    assert VOID_COLOUR not in {pixel(strip, 1, row, column) for row in range(7) for column in range(8)}
    assert dict(strip.legend) == {"ground": class_colour(0), "red": class_colour(1), "no class": VOID_COLOUR}


@pytest.mark.parametrize("outputs", [1, 2])
def test_of_two_classes_the_foreground_has_its_probability(outputs: int) -> None:
    logit = torch.full((1, 1, 8, 8), -float(np.log(3)))  # the second class in 1 of 4
    logits = logit if outputs == 1 else torch.cat([torch.zeros_like(logit), logit], dim=1)

    (strip,) = segmentation_strips(logits, masks(), ("ground", "cell"))

    assert strip.panels[3].caption == "probability of cell"
    assert pixel(strip, 3, 0, 0) == tuple(SCALE[2])
    assert pixel(strip, 2, 0, 7) == over(0)


def test_the_measure_is_of_the_labelled_pixels_of_this_image() -> None:
    truth = np.array([[0, 0, 1, 1], [VOID] * 4], np.uint8)
    answered = np.array([[0, 1, 1, 1], [2] * 4], np.uint8)

    assert mask_measure(truth, answered) == "mean IoU 0.583, 75.0% of the pixels right"
    assert mask_measure(truth[1:], answered[1:]) == "no pixel has a class"


def test_prompts_are_drawn_where_they_are() -> None:
    image, mask = np.zeros((1, 8, 8), np.uint8), np.zeros((8, 8), np.uint8)

    strip = segmentation_strip(
        image=image,
        truth=mask,
        answered=mask,
        probability=np.zeros((8, 8)),
        of_what="the object",
        classes=CLASSES,
        measure="",
        prompts=np.array([[1.0, 2.0, 5.0, 6.0]]),
    )

    (mark,) = strip.panels[0].marks
    assert (mark.corners, mark.colour) == ((1, 2, 5, 6), PROMPT_COLOUR)


def boxes(corners: list[list[float]], labels: list[int], scores: list[float] | None = None) -> Boxes:
    return Boxes(
        corners=np.array(corners, float).reshape(-1, 4),
        labels=np.array(labels, int),
        scores=None if scores is None else np.array(scores),
    )


def test_boxes_are_shown_with_class_and_score_and_those_below_the_threshold_are_not() -> None:
    batch = {
        "image": torch.full((1, 1, 20, 20), GREY / 255),
        "boxes": torch.tensor([[[1.0, 1, 9, 9], [10, 10, 18, 18], [0, 0, 0, 0]]]),
        "box_labels": torch.tensor([[1, 2, -1]]),
        "box_crowd": torch.tensor([[False, True, False]]),
    }
    found = {
        "boxes": torch.tensor([[0.0, 0, 5, 5], [1, 1, 9, 8], [3, 3, 4, 4]]),
        "labels": torch.tensor([2, 1, 1]),
        "scores": torch.tensor([0.31, 0.92, 0.29]),
    }

    (strip,) = detection_strips([found], batch, CLASSES)

    truth, answer = strip.panels
    assert [(mark.corners, mark.colour, mark.word) for mark in truth.marks] == [
        ((1, 1, 9, 9), class_colour(1), "red"),
        ((10, 10, 18, 18), CROWD_COLOUR, "green"),
    ]
    assert [(mark.corners, mark.colour, mark.word) for mark in answer.marks] == [
        ((0, 0, 5, 5), class_colour(2), "green 0.31"),
        ((1, 1, 9, 8), class_colour(1), "red 0.92"),
    ]
    assert (truth.caption, answer.caption) == ("truth: 2 boxes", "found: 2 boxes of score 0.3 or more")
    assert strip.measure == "1 of 1 found, 1 false (IoU 0.5)"


def test_an_image_without_boxes_in_which_nothing_is_found_is_shown_too() -> None:
    batch = {
        "image": torch.zeros((1, 3, 20, 20)),
        "boxes": torch.zeros((1, 1, 4)),
        "box_labels": torch.tensor([[-1]]),
        "box_crowd": torch.tensor([[False]]),
    }
    nothing = {"boxes": torch.zeros((0, 4)), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}

    (strip,) = detection_strips([nothing], batch, CLASSES)

    assert strip.measure == "0 of 0 found, 0 false (IoU 0.5)"


def test_a_true_box_is_found_once_by_the_surest_of_its_class() -> None:
    truth = boxes([[0, 0, 10, 10], [20, 0, 30, 10]], [1, 2])
    twice = boxes([[0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 10]], [1, 1, 1], [0.9, 0.8, 0.7])

    assert box_measure(truth, np.array([False, False]), twice) == "1 of 2 found, 2 false (IoU 0.5)"


def test_what_lies_in_a_crowd_is_not_false() -> None:
    crowd = boxes([[0, 0, 30, 30]], [1])

    assert box_measure(crowd, np.array([True]), boxes([[2, 2, 6, 6]], [1], [0.9])) == "0 of 0 found, 0 false (IoU 0.5)"
    assert box_measure(crowd, np.array([True]), boxes([[28, 28, 36, 36]], [1], [0.9])).startswith("0 of 0 found, 1")
