"""The first stage of Faster R-CNN: proposals of boxes in which there may be an object."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image, nms

from trainyard.models.anchors import OBJECT, Sampler, Truth, anchor_grid, matched
from trainyard.models.detector import LEAST_SIDE
from trainyard.spec.models.detectors import Rpn

BETA = 1 / 9
"""Where the smooth L1 distance of boxes turns from square to straight, as in the authors' code and torchvision."""


class Proposals(NamedTuple):
    """boxes: for each image (P, 4), the surest first, no gradient. losses: `objectness` and `proposal_box`, means over
    the images; none without truth."""

    boxes: list[Tensor]
    losses: dict[str, Tensor]


class Proposing(nn.Module):
    """The surest anchors of an image, as the boxes that they become, without those that overlap a surer one."""

    def __init__(self, settings: Rpn, coder: BoxCoder) -> None:
        super().__init__()
        self._settings = settings
        self._coder = coder

    @torch.no_grad()
    def forward(self, logits: Tensor, deltas: Tensor, anchors: Tensor, size: tuple[int, int]) -> Tensor:
        """(P, 4). logits: (B,), deltas and anchors: (B, 4), size: height and width of the image, in pixels."""
        settings = self._settings
        surest, index = logits.topk(min(settings.before_nms, len(logits)))
        boxes = clip_boxes_to_image(self._coder.decode_single(deltas[index], anchors[index]), size)
        sound = (boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE).all(1)
        boxes, surest = boxes[sound], surest[sound]
        most = settings.after_nms if self.training else settings.evaluated
        return boxes[nms(boxes, surest, settings.nms_iou)[:most]]


class RegionProposals(nn.Module):
    """The region proposal network (Ren et al. 2015, section 3.1): a 3x3 convolution, and on it at each position, for
    each anchor, whether there is an object (one logit) and how its box differs from the anchor (four numbers).
    """

    shapes: Tensor

    def __init__(self, inputs: int, *, shapes: Tensor, stride: int, settings: Rpn) -> None:
        """inputs: channels of the feature map. shapes: (A, 4), see anchor_shapes. stride: pixels of the image, each
        way, to a position."""
        super().__init__()
        self.settings = settings
        self.stride = stride
        self.register_buffer("shapes", shapes, persistent=False)
        self.convolution = nn.Conv2d(inputs, settings.channels, 3, padding=1)
        self.objectness = nn.Conv2d(settings.channels, len(shapes), 1)
        self.deltas = nn.Conv2d(settings.channels, 4 * len(shapes), 1)
        for layer in (self.convolution, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.get_parameter("bias"))
        self._coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self._sampler = Sampler(settings.samples, settings.positive_share)
        self.proposing = Proposing(settings, self._coder)

    def forward(self, features: Tensor, size: tuple[int, int], truth: Sequence[Truth] | None) -> Proposals:
        """features: (N, inputs, h, w). size: height and width of the images in pixels."""
        hidden = functional.relu(self.convolution(features))
        images, _, rows, columns = features.shape
        logits = self.objectness(hidden).float().permute(0, 2, 3, 1).flatten(1)
        deltas = self.deltas(hidden).float().unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).reshape(images, -1, 4)
        anchors = anchor_grid(self.shapes, rows, columns, self.stride)
        boxes = [self.proposing(*one, anchors, size) for one in zip(logits, deltas, strict=True)]
        return Proposals(boxes, {} if truth is None else self._losses(logits, deltas, anchors, truth))

    def _losses(self, logits: Tensor, deltas: Tensor, anchors: Tensor, truth: Sequence[Truth]) -> dict[str, Tensor]:
        own = [self._image_losses(*one, anchors) for one in zip(logits, deltas, truth, strict=True)]
        objectness, box = zip(*own, strict=True)
        return {"objectness": torch.stack(objectness).mean(), "proposal_box": torch.stack(box).mean()}

    def _image_losses(self, logits: Tensor, deltas: Tensor, truth: Truth, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Equation 1 of one image, both terms over the anchors that are sampled."""
        settings = self.settings
        found = matched(
            anchors, truth, positive=settings.positive_iou, negative=settings.negative_iou, each_has_one=True
        )
        objects, background = self._sampler(found.kind, training=self.training)
        sampled = torch.cat([objects, background])
        count = max(1, len(sampled))
        is_object = (found.kind[sampled] == OBJECT).float()
        objectness = functional.binary_cross_entropy_with_logits(logits[sampled], is_object, reduction="sum")
        wanted = self._coder.encode_single(truth.boxes[found.box[objects]], anchors[objects])
        box = functional.smooth_l1_loss(deltas[objects], wanted, beta=BETA, reduction="sum")
        return objectness / count, box / count
