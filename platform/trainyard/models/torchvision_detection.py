"""torchvision's detection models, for any number of classes."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.detection._utils import overwrite_eps
from torchvision.ops import FrozenBatchNorm2d

from trainyard.errors import TrialError
from trainyard.models.detector import Detections, Losses, Targets
from trainyard.models.features import CLASSES
from trainyard.models.freezing import PartlyFrozen
from trainyard.models.normalization import mean_and_std
from trainyard.models.torchvision import build_net, head_of
from trainyard.models.torchvision_detectors import adapted, losing
from trainyard.models.weights import load_weights
from trainyard.spec.pretrained import DETECTION_BACKBONES

TERMS = {
    "loss_classifier": "classification",
    "loss_box_reg": "box",
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal_box",
    "classification": "classification",
    "bbox_regression": "box",
    "bbox_ctrness": "centerness",
}
"""Of the loss, by torchvision's names."""

MOST = 100
"""Boxes of an image that are left; COCO's measures count no more."""

_FIXED_NORMS = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
)
"""The norms of their backbones are constants with pretrained weights."""

_WITHOUT_EPS = ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn")
"""Their published weights were trained with norms that added nothing to the variance."""


class TorchvisionDetection(PartlyFrozen):
    """One of torchvision's detectors, by its name there. A Detector.

    image: (3, height, width). weights, weights_backbone: see `load_weights`, of the whole net or of its backbone; the
    head is only theirs if it has as many classes. freeze: see `frozen_by`, with torchvision's paths. TrialError if the
    weights don't fit (StorageError if they can't be had).

    Images aren't resized, but for those whose names say a size (ssd300, ssdlite320): these resize images and boxes to
    it, and what they find back. Each term of the loss is the mean over the images of that of one image, where
    torchvision divides some by what all images of the batch have. Crowds are left out of the truth.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        architecture: str,
        weights: str | None = None,
        weights_backbone: str | None = None,
        normalize: Literal["imagenet", "none"] = "imagenet",
        freeze: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if image[0] != 3:
            raise TrialError(f"{architecture} takes images of 3 channels, got {image[0]}. Set data.channels: 3.")
        self._settings: dict[str, Any] = {
            "architecture": architecture,
            "weights": weights,
            "weights_backbone": weights_backbone,
            "normalize": normalize,
        }
        net = _build(architecture, outputs)
        if architecture in _FIXED_NORMS and (weights or weights_backbone):
            _fix_norms(net.get_submodule("backbone.body"))
        if weights is not None:
            load_weights(net, weights, architecture=architecture, head=_head_of(net, architecture, outputs))
            if architecture in _WITHOUT_EPS and weights in ("COCO_V1", "DEFAULT"):
                overwrite_eps(net, 0.0)
        if weights_backbone is not None:
            _load_backbone(net, DETECTION_BACKBONES[architecture], weights_backbone, image)
        _normalise(net, architecture, normalize, weights, weights_backbone)
        self.net = adapted(net)
        self._patterns = tuple(freeze)
        self.freeze(self.net, self._patterns)

    def forward(self, images: Tensor, targets: Targets | None = None) -> tuple[Losses, Detections]:
        """In evaluation with targets the net runs twice: torchvision's answer with losses or with what they found."""
        losses: dict[str, Tensor] = {}
        if targets is not None:
            with losing(self.net):
                losses = {TERMS[name]: value for name, value in self.net(list(images), _truth(targets)).items()}
        if self.training:
            return losses, []
        return losses, [_without_background(found) for found in self.net(list(images))]

    def live_values(self) -> dict[str, object]:
        values = {name: value for name, value in self._settings.items() if value is not None}
        return {**values, "freeze": list(self._patterns)}


def _build(architecture: str, outputs: int) -> nn.Module:
    """With random weights, and for the background an output beside those of the classes."""
    with_background = 1 + outputs
    if architecture.startswith(("ssd", "fcos", "retinanet")):
        settings = {"detections_per_img": MOST}
    else:
        settings = {"box_detections_per_img": MOST}
    return get_model(architecture, weights=None, weights_backbone=None, num_classes=with_background, **settings)


def _head_of(net: nn.Module, architecture: str, outputs: int) -> list[str]:
    """The names of the tensors whose size depends on the number of classes."""
    with torch.device("meta"):
        other = _build(architecture, outputs + 1).state_dict()
    return [name for name, tensor in net.state_dict().items() if other[name].shape != tensor.shape]


def _fix_norms(module: nn.Module) -> None:
    """Put constants in the place of all batch norms, as the published weights were trained."""
    for path, norm in list(module.named_modules()):
        if isinstance(norm, nn.BatchNorm2d):
            above, _, name = path.rpartition(".")
            setattr(module.get_submodule(above), name, FrozenBatchNorm2d(norm.num_features, norm.eps))


def _load_backbone(net: nn.Module, architecture: str, weights: str, image: tuple[int, int, int]) -> None:
    """Pretrained weights of a classification model, by their order: a detector has its layers under other names."""
    with torch.device("meta"):  # a classifier takes seconds to fill
        source = build_net(architecture, image=image, outputs=CLASSES, initialise=False)
    source.to_empty(device="cpu")
    used = [name for name in source.state_dict() if _is_weight(name) and not name.startswith(_CLASSIFIERS)]
    load_weights(source, weights, architecture=architecture, head=head_of(source), needed=used)
    found = source.state_dict()
    own = [tensor for name, tensor in net.get_submodule("backbone").state_dict().items() if _is_weight(name)]
    for name, tensor in zip(used, own, strict=False):  # the backbone goes on with layers of the detector
        assert found[name].shape == tensor.shape, f"{name} is of another layer"
        tensor.copy_(found[name])


def _normalise(
    net: nn.Module,
    architecture: str,
    normalize: Literal["imagenet", "none"],
    weights: str | None,
    weights_backbone: str | None,
) -> None:
    """Have images normalised as the weights that the net begins with were trained: torchvision's net has the mean and
    the deviation of its own published weights, which for SSD300 suit none of VGG-16's but IMAGENET1K_FEATURES."""
    transform: Any = net.get_submodule("transform")
    if normalize == "none":
        transform.image_mean, transform.image_std = [0.0] * 3, [1.0] * 3
    elif weights is None and architecture in DETECTION_BACKBONES:
        mean, std = mean_and_std(DETECTION_BACKBONES[architecture], weights_backbone)
        transform.image_mean, transform.image_std = mean, std


_CLASSIFIERS = ("classifier.", "fc.")


def _is_weight(name: str) -> bool:
    """Not what only one of two nets has: counters of norms, and how SSD scales one of its feature maps."""
    return not name.endswith("num_batches_tracked") and name != "scale_weight"


def _truth(targets: Targets) -> list[dict[str, Tensor]]:
    """As torchvision wants it: classes count from 1 on, 0 is the background."""
    return [
        {"boxes": boxes[learnt].float(), "labels": labels[learnt] + 1}
        for boxes, labels, learnt in zip(targets.boxes, targets.labels, targets.learnt, strict=True)
    ]


def _without_background(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """RetinaNet and FCOS have an output for the background, too, that nothing ever is."""
    labels = found["labels"] - 1
    known = labels >= 0
    return {"boxes": found["boxes"][known], "labels": labels[known], "scores": found["scores"][known]}
