"""Faster R-CNN (Ren, He, Girshick, Sun 2015)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from trainyard.models.anchors import Truth, anchor_shapes
from trainyard.models.box_head import BoxHead
from trainyard.models.detector import Detections, Losses, Targets
from trainyard.models.freezing import PartlyFrozen
from trainyard.models.normalization import normalization_for
from trainyard.models.region_proposals import RegionProposals
from trainyard.models.trained_features import trained_features
from trainyard.spec.models import detectors as spec
from trainyard.spec.section import plain

Settings = Mapping[str, Any]

SIZES, RATIOS = (128.0, 256.0, 512.0), (0.5, 1.0, 2.0)
"""The paper's anchors (section 3.1.1), for a model that is looked at without a data set: a trial knows its own."""


class FasterRcnn(PartlyFrozen):
    """A feature map, on it proposals of boxes, and of each proposal the class and the box. A Detector.

    image: (3, height, width). Settings are those of spec.models.detectors; `freeze` names paths of this module. Boxes
    are in pixels of the images as they come: nothing is resized. With VGG-16, 9 anchors and K classes the 13
    convolutions have 14,714,688 parameters, the proposals 2,382,893, the dense layers 119,545,856, and class and box
    4,097 (5 K + 1). TrialError as trained_features.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        backbone: Settings | None = None,
        freeze: Sequence[str] = (),
        anchors: Settings | None = None,
        rpn: Settings | None = None,
        pool: Literal["align", "max"] = "align",
        pool_size: int = 7,
        box_head: Settings | None = None,
        found: Settings | None = None,
    ) -> None:
        super().__init__()
        self._settings = spec.TrainedBackbone.model_validate(dict(backbone or {}))
        self._anchors = spec.Anchors.model_validate({"sizes": SIZES, "ratios": RATIOS} | _known(anchors or {}))
        self._patterns = tuple(freeze)
        imagenet = self._settings.normalize == "imagenet"
        self.normalization = (
            normalization_for(self._settings.architecture, self._settings.weights) if imagenet else nn.Identity()
        )
        layers = trained_features(self._settings, image)
        self.backbone = layers.net
        self.rpn = RegionProposals(
            layers.channels,
            shapes=anchor_shapes(
                [self._anchors.scale * size for size in _numbers(self._anchors.sizes)], _numbers(self._anchors.ratios)
            ),
            stride=layers.stride,
            settings=spec.Rpn.model_validate(dict(rpn or {})),
        )
        self.box_head = BoxHead(
            layers.channels,
            outputs,
            stride=layers.stride,
            pool=pool,
            pool_size=pool_size,
            settings=spec.BoxHead.model_validate(dict(box_head or {})),
            found=spec.Found.model_validate(dict(found or {})),
        )
        self.freeze(self, self._patterns)

    def forward(self, images: Tensor, targets: Targets | None = None) -> tuple[Losses, Detections]:
        size = (images.shape[2], images.shape[3])
        truth = None if targets is None else truth_of(targets)
        features = self.backbone(self.normalization(images))["features"]
        proposals = self.rpn(features, size, truth)
        losses, found = self.box_head(features, proposals.boxes, size, truth)
        return {**losses, **proposals.losses}, found

    def live_values(self) -> dict[str, object]:
        head = self.box_head
        sections = {
            "backbone": self._settings,
            "anchors": self._anchors,
            "rpn": self.rpn.settings,
            "box_head": head.settings,
            "found": head.finding.settings,
        }
        values = {name: plain(section) for name, section in sections.items()}
        return {
            **values,
            "freeze": list(self._patterns),
            "pool": head.reading.pool,
            "pool_size": head.reading.pool_size,
        }


def truth_of(targets: Targets) -> list[Truth]:
    """What is in each image."""
    return [
        Truth(boxes[own].float(), labels[own], boxes[ignored].float())
        for boxes, labels, own, ignored in zip(
            targets.boxes, targets.labels, targets.learnt, targets.ignored, strict=True
        )
    ]


def _known(anchors: Settings) -> dict[str, Any]:
    return {name: value for name, value in anchors.items() if value != "auto"}


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values]
