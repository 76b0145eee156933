"""What a promptable model answers for boxes beside the truth, as strips to look at. Imported by whoever draws."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from trainyard.data.manifest import VOID
from trainyard.data.strips import Strip
from trainyard.tasks.pictures import images_of, segmentation_strip
from trainyard.tasks.prompted import Objects


def prompted_strips(output: Tensor, batch: Mapping[str, Tensor], objects: Objects) -> list[Strip]:
    """One for each image of a batch. output: logits (N, P, H, W) of its objects' pixels.

    The boxes are those that are evaluated, without jitter. A pixel that is answered to be of several objects is shown
    as of the likeliest; the probability is that of the object whose it most likely is.
    """
    probabilities = output.detach().float().sigmoid().cpu().numpy()
    inside, there, labelled, boxes = (
        tensor.cpu().numpy() for tensor in (objects.inside, objects.there, objects.labelled[:, 0], objects.boxes)
    )
    return [
        _strip(image, shades[own], truth[own], has_class, corners[own])
        for image, shades, truth, own, has_class, corners in zip(
            images_of(batch), probabilities, inside, there, labelled, boxes, strict=True
        )
    ]


def _strip(image: np.ndarray, shades: np.ndarray, truth: np.ndarray, labelled: np.ndarray, boxes: np.ndarray) -> Strip:
    """Of the P objects that are there. shades: (P, H, W), probabilities. truth: bool (P, H, W). labelled: (H, W)."""
    answers = shades > 0.5
    likeliest = shades.max(axis=0, initial=0.0)
    return segmentation_strip(
        image=image,
        truth=np.where(labelled, _numbered(truth, truth.astype(np.float32)), VOID).astype(np.uint8),
        answered=_numbered(answers, shades),
        probability=likeliest,
        of_what="an object",
        classes=["background", *(["object"] if len(boxes) == 1 else [f"object {i + 1}" for i in range(len(boxes))])],
        measure=_measure(answers & labelled, truth),
        prompts=boxes,
    )


def _numbered(inside: np.ndarray, shades: np.ndarray) -> np.ndarray:
    """uint8 (H, W): 0, or 1 + the index of the object that most likely has the pixel; (P, H, W) each."""
    if not len(inside):
        return np.zeros(inside.shape[1:], np.uint8)
    return np.where(inside.any(axis=0), 1 + shades.argmax(axis=0), 0).astype(np.uint8)


def _measure(answers: np.ndarray, truth: np.ndarray) -> str:
    if not len(truth):
        return "no object"
    ious: Sequence[float] = [(a & t).sum() / (a | t).sum() for a, t in zip(answers, truth, strict=True)]
    return f"IoU {np.mean(ious):.3f}" if len(ious) == 1 else f"mean IoU {np.mean(ious):.3f} of {len(ious)} objects"
