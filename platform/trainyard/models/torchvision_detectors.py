"""torchvision's detectors with images as they are, losses by image, samples of ours, and boxes in float32."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from trainyard.models.anchors import NEITHER, OBJECT, Sampler


def _in_float32(module: nn.Module, inputs: object, output: Any) -> Any:
    """A forward hook. Boxes are computed in the type of what the layers answer: bfloat16 knows no pixel beyond 256."""
    if isinstance(output, Tensor):
        return output.float()
    if isinstance(output, Mapping):
        return OrderedDict((name, _in_float32(module, inputs, value)) for name, value in output.items())
    return type(output)(_in_float32(module, inputs, value) for value in output)


class _Rpn(RegionProposalNetwork):
    """Its losses are means over the images."""

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        images = len(labels)
        parts = zip(
            objectness.reshape(images, -1),
            pred_bbox_deltas.reshape(images, -1, 4),
            labels,
            regression_targets,
            strict=True,
        )
        own = [RegionProposalNetwork.compute_loss(self, *one[:2], [one[2]], [one[3]]) for one in parts]
        objects, boxes = zip(*own, strict=True)
        return torch.stack(objects).mean(), torch.stack(boxes).mean()


class _RoiHeads(RoIHeads):
    """Its losses are means over the images."""

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        if not self.training:
            found: tuple[list[dict[str, Tensor]], dict[str, Tensor]]
            found = RoIHeads.forward(self, features, proposals, image_shapes, targets)
            return found
        boxes, _, labels, wanted = self.select_training_samples(proposals, targets)
        logits, deltas = self.box_predictor(self.box_head(self.box_roi_pool(features, boxes, image_shapes)))
        counts = [len(own) for own in labels]
        parts = zip(logits.split(counts), deltas.split(counts), labels, wanted, strict=True)
        own = [_of_samples(*part) for part in parts]
        classification, box = zip(*own, strict=True)
        return [], {"loss_classifier": torch.stack(classification).mean(), "loss_box_reg": torch.stack(box).mean()}


def _of_samples(logits: Tensor, deltas: Tensor, labels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of one image. Without a sample, as where no proposal was sure enough and there is no true box, they
    are 0: torchvision's would be 0 / 0."""
    if not len(labels):
        return logits.sum(), deltas.sum()
    losses: tuple[Tensor, Tensor] = fastrcnn_loss(logits, deltas, [labels], [targets])
    return losses


class _Ssd(SSD):
    """Its losses are means over the images."""

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        return _mean(
            SSD.compute_loss(self, targets[own], _of(head_outputs, own), anchors[own], matched_idxs[own])
            for own in _images(targets)
        )


class _Fcos(FCOS):
    """Its losses are means over the images."""

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        num_anchors_per_level: list[int],
    ) -> dict[str, Tensor]:
        return _mean(
            FCOS.compute_loss(self, targets[own], _of(head_outputs, own), anchors[own], num_anchors_per_level)
            for own in _images(targets)
        )


def _images(targets: Sequence[object]) -> list[slice]:
    return [slice(image, image + 1) for image in range(len(targets))]


def _of(head_outputs: Mapping[str, Tensor], images: slice) -> dict[str, Tensor]:
    return {name: values[images] for name, values in head_outputs.items()}


def _mean(losses: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    own = list(losses)
    return {name: torch.stack([one[name] for one in own]).mean() for name in own[0]}


class _Samples:
    """Draws what is learnt from, in the place of torchvision's BalancedPositiveNegativeSampler. See Sampler."""

    def __init__(self, replaced: BalancedPositiveNegativeSampler) -> None:
        self._sampler = Sampler(replaced.batch_size_per_image, replaced.positive_fraction)
        self.training = True

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Masks of objects (labels from 1 on) and of background (0) for each image; -1 is neither."""
        drawn = [self._sampler(label.clamp(NEITHER, OBJECT).long(), training=self.training) for label in labels]
        masks = [
            [torch.zeros_like(label, dtype=torch.uint8).index_fill(0, index, 1) for index in indexes]
            for label, indexes in zip(labels, drawn, strict=True)
        ]
        return [objects for objects, _ in masks], [background for _, background in masks]


class _AsTheyAre(GeneralizedRCNNTransform):
    """Normalises, and pads below and on the right to multiples of 32, as anchors ask; resizes nothing."""

    def __init__(self, other: GeneralizedRCNNTransform) -> None:
        super().__init__(other.min_size, other.max_size, other.image_mean, other.image_std, other.size_divisible)

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


_BY_IMAGE: dict[type[nn.Module], type[nn.Module]] = {
    RegionProposalNetwork: _Rpn,
    RoIHeads: _RoiHeads,
    SSD: _Ssd,
    FCOS: _Fcos,
}
"""RetinaNet's losses are means over the images as they are."""

_HEADS = ("backbone", "head", "rpn.head", "roi_heads.box_head", "roi_heads.box_predictor")
"""What answers with numbers of which boxes are made."""


def adapted(net: nn.Module) -> nn.Module:
    """torchvision's net with images as they are, losses by image, samples of ours, and boxes in float32."""
    if not isinstance(net, SSD):
        net.transform = _AsTheyAre(net.transform)
    for path, module in net.named_modules():
        if type(module) in _BY_IMAGE:
            module.__class__ = _BY_IMAGE[type(module)]  # the same module with other losses
        if isinstance(module, RegionProposalNetwork | RoIHeads):
            module.fg_bg_sampler = _Samples(module.fg_bg_sampler)
        if path in _HEADS:
            module.register_forward_hook(_in_float32)
    return net


@contextmanager
def losing(net: nn.Module) -> Iterator[None]:
    """Have the net answer with its losses, while its norms and dropouts stay in the mode that they are in."""
    asked = [module for module in net.modules() if isinstance(module, _ANSWERING)]
    training = [module.training for module in asked]
    samplers = [module.fg_bg_sampler for module in asked if isinstance(module, RegionProposalNetwork | RoIHeads)]
    for sampler in samplers:
        sampler.training = net.training
    for module in asked:
        module.training = True
    try:
        yield
    finally:
        for module, mode in zip(asked, training, strict=True):
            module.training = mode


_ANSWERING = (FasterRCNN, RegionProposalNetwork, RoIHeads, RetinaNet, FCOS, SSD)
"""Whose mode decides whether they answer with losses or with what they found."""
