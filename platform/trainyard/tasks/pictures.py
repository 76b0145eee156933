"""What a model answers to an image beside the truth, as strips to look at: what they show, before it is drawn.

Imported by whoever draws, when it draws: most of a sweep's processes never do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional

from trainyard.data.manifest import VOID
from trainyard.data.painting import Colour, Mark, as_grey, as_rgb, class_colour, overlay
from trainyard.data.strips import Panel, Strip, scale_colours
from trainyard.models.detector import Detections

LEAST_SCORE = 0.3
"""Boxes that were found with a lower score are left out of pictures: detectors answer with hundreds of those. The same
in all of them, so that they can be compared."""

MOST_FOUND = 100
"""Of the boxes above it, so many are drawn, the surest."""

BOXES_SIDE = 480
"""Longest side of an image with boxes, in pixels: their words need room."""

MOST_WORDS = 30
"""With more boxes in a panel, their words would cover the image."""

MATCHING_IOU = 0.5
"""A found box and a true one of its class are the same object from this intersection over union on, as in map50."""

VOID_COLOUR = (96, 96, 96)
CROWD_COLOUR = (150, 150, 150)
PROMPT_COLOUR = (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Of one image. corners: (D, 4), left, top, right, bottom in pixels; labels: int (D,), class indexes; scores: (D,),
    where they were found."""

    corners: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, chosen: np.ndarray) -> "Boxes":
        """Some of them: bool (D,), or indexes."""
        scores = None if self.scores is None else self.scores[chosen]
        return Boxes(corners=self.corners[chosen], labels=self.labels[chosen], scores=scores)


def segmentation_strips(output: Tensor, batch: Mapping[str, Tensor], classes: Sequence[str]) -> list[Strip]:
    """One for each image of a batch. output: (N, K, H, W), logits of K classes, or one, of the second class of two.

    The probability is that of the answered class; of two classes, that of the second, the foreground.
    """
    logits = output.detach().float()
    if logits.shape[1] == 1:  # of two logits, 0 and z, the softmax is 1 - sigmoid(z) and sigmoid(z)
        logits = functional.pad(logits, (0, 0, 0, 0, 1, 0))
    probabilities = logits.softmax(1)
    likelihood, answered = probabilities.max(1)
    of_what = "the answered class"
    if len(classes) == 2:
        likelihood, of_what = probabilities[:, 1], classes[1]
    answers, shades, truths = answered.byte().cpu().numpy(), likelihood.cpu().numpy(), batch["mask"].cpu().numpy()
    return [
        segmentation_strip(
            image=image,
            truth=truth,
            answered=answer,
            probability=shade,
            of_what=of_what,
            classes=classes,
            measure=mask_measure(truth, answer),
        )
        for image, truth, answer, shade in zip(images_of(batch), truths, answers, shades, strict=True)
    ]


def detection_strips(found: Detections, batch: Mapping[str, Tensor], classes: Sequence[str]) -> list[Strip]:
    """One for each image of a batch, from what was found in it."""
    strips = []
    for row, (image, one) in enumerate(zip(images_of(batch), found, strict=True)):
        corners, labels, crowd = (batch[name][row].cpu().numpy() for name in ("boxes", "box_labels", "box_crowd"))
        there = labels >= 0
        answer = Boxes(
            corners=one["boxes"].detach().float().cpu().numpy(),
            labels=one["labels"].cpu().numpy(),
            scores=one["scores"].detach().float().cpu().numpy(),
        )
        truth = Boxes(corners=corners[there], labels=labels[there])
        strips.append(detection_strip(image=image, truth=truth, crowds=crowd[there], found=answer, classes=classes))
    return strips


def images_of(batch: Mapping[str, Tensor]) -> list[np.ndarray]:
    """The images of a batch, float (N, C, H, W) in [0, 1], as uint8 (C, H, W) each."""
    pixels = batch["image"].detach().float().cpu().numpy()
    return [np.rint(image.clip(0, 1) * 255).astype(np.uint8) for image in pixels]


def segmentation_strip(
    *,
    image: np.ndarray,
    truth: np.ndarray,
    answered: np.ndarray,
    probability: np.ndarray,
    of_what: str,
    classes: Sequence[str],
    measure: str,
    prompts: np.ndarray | None = None,
) -> Strip:
    """image | truth | prediction | probability.

    image: uint8 (C, H, W). truth, answered: uint8 (H, W), class indexes, VOID where there is none. probability: (H, W)
    in [0, 1], and of_what it is. prompts: (M, 4), boxes that the model was given, drawn over the image and the answer.
    """
    plain = as_rgb(image)
    below = as_grey(plain)
    marks = [_mark(corners, PROMPT_COLOUR) for corners in prompts.tolist()] if prompts is not None else []
    shown = sorted({*np.unique(truth).tolist(), *np.unique(answered).tolist()} - {VOID})
    words = [(classes[index], class_colour(index)) for index in shown]
    if (truth == VOID).any():
        words.append(("no class", VOID_COLOUR))
    return Strip(
        panels=(
            Panel(caption="image with prompts" if marks else "image", pixels=np.asarray(plain), marks=marks),
            Panel(caption="truth", pixels=_void_marked(np.asarray(overlay(below, truth)), truth == VOID)),
            Panel(caption="prediction", pixels=np.asarray(overlay(below, answered)), marks=marks),
            Panel(caption=f"probability of {of_what}", pixels=scale_colours(probability)),
        ),
        measure=measure,
        legend=words,
        scaled=True,
    )


def _void_marked(pixels: np.ndarray, void: np.ndarray) -> np.ndarray:
    """Grey stripes over what has no class, an eighth of the shorter side apart."""
    height, width = void.shape
    period = max(4, min(height, width) // 8)
    rows, columns = np.ogrid[:height, :width]
    striped = void & ((rows + columns) % period < period / 2)
    return np.where(striped[..., None], np.array(VOID_COLOUR, np.uint8), pixels)


def mask_measure(truth: np.ndarray, answered: np.ndarray) -> str:
    """Mean IoU over the classes that occur in the image's truth or answer, and the share of pixels that are right."""
    labelled = truth != VOID
    if not labelled.any():
        return "no pixel has a class"
    true, found = truth[labelled], answered[labelled]
    ious = [
        ((true == index) & (found == index)).sum() / ((true == index) | (found == index)).sum()
        for index in np.union1d(true, found)
    ]
    return f"mean IoU {np.mean(ious):.3f}, {(true == found).mean():.1%} of the pixels right"


def detection_strip(
    *, image: np.ndarray, truth: Boxes, crowds: np.ndarray, found: Boxes, classes: Sequence[str]
) -> Strip:
    """The image with its true boxes | with the found ones from LEAST_SCORE on, each with class and score.

    image: uint8 (C, H, W). crowds: bool (T,), which of the true boxes count neither way; they are grey. found: any
    number, with scores.
    """
    assert found.scores is not None
    surest = np.argsort(-found.scores, kind="stable")
    sure = found.of(surest[found.scores[surest] >= LEAST_SCORE][:MOST_FOUND])
    plain = np.asarray(as_rgb(image))
    shown = sorted({*truth.labels[~crowds].tolist(), *sure.labels.tolist()})
    words = [(classes[index], class_colour(index)) for index in shown]
    return Strip(
        panels=(
            Panel(caption=f"truth: {_counted(len(truth))}", pixels=plain, marks=_true_marks(truth, crowds, classes)),
            Panel(
                caption=f"found: {_counted(len(sure))} of score {LEAST_SCORE:g} or more",
                pixels=plain,
                marks=_found_marks(sure, classes),
            ),
        ),
        measure=box_measure(truth, crowds, sure),
        legend=[*words, *([("crowd", CROWD_COLOUR)] if crowds.any() else [])],
        side=BOXES_SIDE,
    )


def _counted(boxes: int) -> str:
    return f"{boxes} box" if boxes == 1 else f"{boxes} boxes"


def _true_marks(boxes: Boxes, crowds: np.ndarray, classes: Sequence[str]) -> list[Mark]:
    named = len(boxes) <= MOST_WORDS
    return [
        _mark(corners, CROWD_COLOUR if crowd else class_colour(label), classes[label] if named else "")
        for corners, label, crowd in zip(boxes.corners.tolist(), boxes.labels.tolist(), crowds.tolist(), strict=True)
    ]


def _found_marks(boxes: Boxes, classes: Sequence[str]) -> list[Mark]:
    assert boxes.scores is not None
    named = len(boxes) <= MOST_WORDS
    marks = [
        _mark(corners, class_colour(label), f"{classes[label]} {score:.2f}" if named else "")
        for corners, label, score in zip(
            boxes.corners.tolist(), boxes.labels.tolist(), boxes.scores.tolist(), strict=True
        )
    ]
    return marks[::-1]  # the surest last, over the others


def _mark(corners: Sequence[float], colour: Colour, word: str = "") -> Mark:
    left, top, right, bottom = corners
    return Mark(corners=(left, top, right, bottom), colour=colour, word=word)


def box_measure(truth: Boxes, crowds: np.ndarray, found: Boxes) -> str:
    """How many true boxes were found, and how many found boxes are none: matched from the surest down, each with the
    free true box of its class that it overlaps most. Crowds count neither way, nor what lies in them by half."""
    free = ~crowds
    matched = false = 0
    for corners, label in zip(found.corners, found.labels, strict=True):
        overlaps = np.where(free & (truth.labels == label), _iou(corners, truth.corners), 0.0)
        best = int(overlaps.argmax()) if len(overlaps) else -1
        if best >= 0 and overlaps[best] >= MATCHING_IOU:
            free[best] = False
            matched += 1
        elif not (_covered(corners, truth.corners[crowds]) >= 0.5).any():
            false += 1
    return f"{matched} of {int((~crowds).sum())} found, {false} false (IoU {MATCHING_IOU:g})"


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    common = _common(box, boxes)
    return np.asarray(common / np.maximum(_area(box[None]) + _area(boxes) - common, 1e-9))


def _covered(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The share of a box that lies in each of others."""
    return np.asarray(_common(box, boxes) / np.maximum(_area(box[None]), 1e-9))


def _common(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return np.asarray(sides.clip(min=0).prod(axis=1))


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1))
