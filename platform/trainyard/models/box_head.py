"""The second stage of Faster R-CNN: the class of each proposal, and where its box really is."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import batched_nms, clip_boxes_to_image, roi_align, roi_pool

from trainyard.models.anchors import Sampler, Truth, matched
from trainyard.models.region_proposals import BETA
from trainyard.spec.models import detectors as spec

READ = 2
"""Positions that RoIAlign reads in each of its bins, each way (He et al. 2017, section 3)."""

LEAST_SIDE = 1e-2
"""Pixels: a box that is narrower or lower is no answer."""


class Sample(NamedTuple):
    """Boxes of one image to learn from, the objects first. boxes: (S, 4). labels: int64 (S,), 0 is background, class k
    is k + 1. wanted: (O, 4), how the true boxes of the O objects differ from these, as the coder says it."""

    boxes: Tensor
    labels: Tensor
    wanted: Tensor


class Reading(nn.Module):
    """What a feature map has at each box: (B, C, pool_size, pool_size), by RoIAlign or by RoI pooling."""

    def __init__(self, *, pool: Literal["align", "max"], pool_size: int, stride: int) -> None:
        super().__init__()
        self.pool, self.pool_size, self.stride = pool, pool_size, stride

    def forward(self, features: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """features: (N, C, h, w). boxes: for each image some, in pixels."""
        scale, sides = 1 / self.stride, (self.pool_size, self.pool_size)
        # Coordinates are float32, whatever the precision of the forward pass.
        if self.pool == "align":
            return roi_align(features.float(), list(boxes), sides, scale, sampling_ratio=READ, aligned=True)
        return roi_pool(features.float(), list(boxes), sides, scale)


class Finding(nn.Module):
    """Which boxes of an image are an answer, the surest first, see Detections."""

    def __init__(self, settings: spec.Found, coder: BoxCoder) -> None:
        super().__init__()
        self.settings = settings
        self._coder = coder

    def forward(self, logits: Tensor, deltas: Tensor, proposals: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """logits: (P, 1 + K), deltas: (P, K, 4), proposals: (P, 4), size: height and width of the image, in pixels."""
        settings = self.settings
        boxes = self._coder.decode_single(deltas.flatten(1), proposals).unflatten(1, (-1, 4))
        boxes = clip_boxes_to_image(boxes, size)
        scores = logits.softmax(1)[:, 1:]
        sound = (boxes[..., 2:] - boxes[..., :2] >= LEAST_SIDE).all(-1)
        box, label = ((scores >= settings.score) & sound).nonzero(as_tuple=True)
        boxes, scores = boxes[box, label], scores[box, label]
        kept = batched_nms(boxes, scores, label, settings.nms_iou)[: settings.most]
        return {"boxes": boxes[kept], "labels": label[kept], "scores": scores[kept]}


class BoxHead(nn.Module):
    """Fast R-CNN on proposals (Girshick 2015): what is read of each, dense layers with ReLU, and on them a logit for
    the background and one for each of K classes, and for each class four numbers that say how its box differs.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        *,
        stride: int,
        pool: Literal["align", "max"],
        pool_size: int,
        settings: spec.BoxHead,
        found: spec.Found,
    ) -> None:
        """inputs: channels of the feature map. stride: pixels of the image, each way, to a position of it."""
        super().__init__()
        self.settings = settings
        self.reading = Reading(pool=pool, pool_size=pool_size, stride=stride)
        layers: list[nn.Module] = []
        for before, width in pairwise([inputs * pool_size**2, *settings.widths]):
            layers += [nn.Linear(before, width), nn.ReLU()]
            layers += [nn.Dropout(settings.dropout)] if settings.dropout else []
        self.layers = nn.Sequential(*layers)
        self.classes = nn.Linear(settings.widths[-1], 1 + classes)
        self.deltas = nn.Linear(settings.widths[-1], 4 * classes)
        for layer, std in ((self.classes, 0.01), (self.deltas, 0.001)):  # Girshick 2015, section 2.3
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
        self._coder = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
        self._sampler = Sampler(settings.samples, settings.positive_share)
        self.finding = Finding(found, self._coder)

    def forward(
        self, features: Tensor, proposals: Sequence[Tensor], size: tuple[int, int], truth: Sequence[Truth] | None
    ) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
        """The losses `classification` and `box`, means over the images, where there is truth; in evaluation what was
        found, see Detections.

        features: (N, inputs, h, w). proposals: for each image (P, 4). size: height and width of the images in pixels.
        """
        samples = [] if truth is None else [self._sample(*one) for one in zip(proposals, truth, strict=True)]
        losses: dict[str, Tensor] = {}
        if samples:
            answers = self._answers(features, [sample.boxes for sample in samples])
            own = [_losses(*answer, sample) for answer, sample in zip(answers, samples, strict=True)]
            classification, box = zip(*own, strict=True)
            losses = {"classification": torch.stack(classification).mean(), "box": torch.stack(box).mean()}
        if self.training:
            return losses, []
        answers = self._answers(features, proposals)
        return losses, [self.finding(*answer, boxes, size) for answer, boxes in zip(answers, proposals, strict=True)]

    def _sample(self, proposals: Tensor, truth: Truth) -> Sample:
        """Of one image. True boxes are among what is sampled from, as at first no proposal may overlap them."""
        boxes = torch.cat([proposals, truth.boxes])
        settings = self.settings
        found = matched(
            boxes, truth, positive=settings.positive_iou, negative=settings.negative_iou, each_has_one=False
        )
        objects, background = self._sampler(found.kind, training=self.training)
        labels = torch.cat([1 + truth.labels[found.box[objects]], torch.zeros_like(background)])
        wanted = self._coder.encode_single(truth.boxes[found.box[objects]], boxes[objects])
        return Sample(boxes[torch.cat([objects, background])], labels, wanted)

    def _answers(self, features: Tensor, boxes: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """For each image, of its B boxes: logits float32 (B, 1 + K), the background's first, and deltas (B, K, 4)."""
        hidden = self.layers(self.reading(features, boxes).flatten(1))
        counts = [len(own) for own in boxes]
        logits = self.classes(hidden).float().split(counts)
        deltas = self.deltas(hidden).float().unflatten(1, (-1, 4)).split(counts)
        return list(zip(logits, deltas, strict=True))


def _losses(logits: Tensor, deltas: Tensor, sample: Sample) -> tuple[Tensor, Tensor]:
    """Classification and box of one image, both over what is sampled (Girshick 2015, equation 1)."""
    count, objects = max(1, len(sample.labels)), len(sample.wanted)
    classification = functional.cross_entropy(logits, sample.labels, reduction="sum")
    told = deltas[torch.arange(objects, device=deltas.device), sample.labels[:objects] - 1]
    box = functional.smooth_l1_loss(told, sample.wanted, beta=BETA, reduction="sum")
    return classification / count, box / count
