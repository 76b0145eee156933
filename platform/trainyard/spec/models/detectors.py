"""Models that find objects and the boxes around them."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from trainyard.spec.models.settings import (
    ArchitectureName,
    Backbone,
    Dropout,
    Freeze,
    Levels,
    ModelSettings,
    Norm,
    Normalize,
    Weights,
    Width,
)
from trainyard.spec.pretrained import DETECTION_BACKBONES, DetectionArchitecture, weights_problem
from trainyard.spec.section import Flaw, Section, refuse
from trainyard.spec.tasks import TaskName

Overlap = Annotated[float, Field(ge=0, le=1)]
SomeOverlap = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class Detector(ModelSettings):
    """What all of them have in common."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"detection"})


class CenterNet(Detector):
    """A one-stage detector that finds the centres of objects, and the size of the box around each."""

    loss_terms: ClassVar[frozenset[str] | None] = frozenset({"heatmap", "size", "offset"})

    name: Literal["centernet"]
    channels: Levels = Field(
        (16, 32, 64, 128),
        description="Channels of each level, each half as fine as the one before.",
    )
    norm: Norm = "batch"
    head_channels: int = Field(32, ge=1, le=4096, description="Channels of the layer before each answer.")


def _rule_or_list(value: Any) -> str:
    return "rule" if isinstance(value, str) else "list"


AutoOrList = Annotated[
    Annotated[Literal["auto"], Tag("rule")]
    | Annotated[
        tuple[Annotated[float, Field(gt=0, le=16384)], ...],
        Field(strict=False, min_length=1, max_length=16),
        Tag("list"),
    ],
    Discriminator(_rule_or_list),
]


class Anchors(Section):
    """The boxes that a detector starts from: one of each size in each ratio, about every position of its feature map.

    `auto` is what the boxes of the training split say.
    """

    model_config = ConfigDict(defer_build=True)

    sizes: AutoOrList = Field(
        "auto", description="Sides of the squares of the same area, in pixels of the images as the model gets them."
    )
    ratios: AutoOrList = Field("auto", description="Heights over widths.")
    scale: float = Field(1.0, gt=0, le=16, description="Factor of all sizes.")


class Stage(Section):
    """What both stages of a detector have: which boxes are objects to learn from, and how many of them."""

    model_config = ConfigDict(defer_build=True)

    place: ClassVar[str]
    """Its path in a job, for messages."""

    positive_iou: Overlap
    negative_iou: SomeOverlap
    samples: Count
    positive_share: Share

    @model_validator(mode="after")
    def _tells_objects_from_background(self) -> Self:
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        if self.negative_iou > self.positive_iou:
            got = f"negative_iou={self.negative_iou:g}, positive_iou={self.positive_iou:g}"
            message = f"{self.place}.negative_iou must be <= its positive_iou, got {got}."
            yield Flaw(("negative_iou",), message, (("positive_iou",),))
        if int(self.samples * self.positive_share) == 0:  # as they are drawn
            got = f"samples={self.samples}, positive_share={self.positive_share:g}"
            message = (
                f"{self.place}.samples x its positive_share must be at least 1, or no object is learnt, got {got}."
            )
            yield Flaw(("samples",), message, (("positive_share",),))


class Rpn(Stage):
    """The first stage, the region proposal network."""

    place: ClassVar[str] = "model.rpn"

    channels: Width = Field(512, description="Output channels of its 3x3 convolution.")
    positive_iou: Overlap = Field(0.7, description="An anchor that overlaps a true box so much is an object.")
    negative_iou: SomeOverlap = Field(0.3, description="An anchor that overlaps every true box less is background.")
    samples: Count = Field(256, description="Anchors of each image that are learnt from, at random.")
    positive_share: Share = Field(0.5, description="Share of the samples that may be objects.")
    before_nms: Count = Field(2000, description="Surest anchors of each image that become proposals.")
    after_nms: Count = Field(1000, description="Proposals of each image that are left of them, to train.")
    evaluated: Count = Field(300, description="Proposals that are left of them, to evaluate.")
    nms_iou: Overlap = Field(0.7, description="Of two proposals that overlap more, the surer one is left.")


class BoxHead(Stage):
    """The second stage: the class of a proposal, and where its box really is."""

    place: ClassVar[str] = "model.box_head"

    widths: Annotated[tuple[Annotated[int, Field(ge=1, le=16384)], ...], Field(strict=False, min_length=1)] = Field(
        (4096, 4096), max_length=8, description="Outputs of each dense layer before the class and the box."
    )
    dropout: Dropout = Field(0.0, description="Probability of dropping an output of each of them.")
    positive_iou: Overlap = Field(0.5, description="A proposal that overlaps a true box so much is an object.")
    negative_iou: SomeOverlap = Field(0.5, description="A proposal that overlaps every true box less is background.")
    samples: Count = Field(128, description="Proposals of each image that are learnt from, at random.")
    positive_share: Share = Field(0.25, description="Share of the samples that may be objects.")


class Found(Section):
    """Which boxes are an answer."""

    model_config = ConfigDict(defer_build=True)

    score: Overlap = Field(0.05, description="Least probability of a box of a class.")
    nms_iou: Overlap = Field(0.5, description="Of two boxes of a class that overlap more, the surer one is left.")
    most: Count = Field(100, description="Surest boxes of an image that are left.")


class TrainedBackbone(Backbone):
    """The layers of one of torchvision's classification models up to one of them, which are trained."""

    architecture: ArchitectureName = "vgg16"
    until: str | None = Field(
        None,
        min_length=1,
        description="The last node, as torchvision's feature extraction names it; of a VGG the one before its last "
        "pooling, else the last feature map when absent.",
        examples=["layer3"],
    )
    width: float = Field(
        1.0, ge=0.01, le=4, description="Factor of the channels: of a VGG only, and without pretrained weights."
    )

    def _flaws(self) -> Iterator[Flaw]:
        yield from super()._flaws()
        if self.width != 1:
            rule = f"{self.place}.width must be 1"
            if not self.architecture.startswith("vgg"):
                message = f"{rule} for {self.architecture}, got {self.width:g}. Only a VGG has other widths."
                yield Flaw(("width",), message, (("architecture",),))
            elif self.weights is not None:
                message = f"{rule} with pretrained weights, got {self.width:g}. Remove one of them."
                yield Flaw(("width",), message, (("weights",),))


class FasterRcnn(Detector):
    """Faster R-CNN: boxes are proposed by their anchors, and of each proposal the class and the place are told."""

    loss_terms: ClassVar[frozenset[str] | None] = frozenset({"classification", "box", "objectness", "proposal_box"})
    image_channels: ClassVar[int | None] = 3

    name: Literal["faster_rcnn"]
    backbone: TrainedBackbone = TrainedBackbone()
    freeze: Freeze = ()
    anchors: Anchors = Anchors()
    rpn: Rpn = Rpn()
    pool: Literal["align", "max"] = Field(
        "align", description="align: RoIAlign, which reads between positions; max: RoI pooling, which rounds to them."
    )
    pool_size: int = Field(7, ge=1, le=64, description="Rows and columns of what is read of each proposal.")
    box_head: BoxHead = BoxHead()
    found: Found = Found()


class TorchvisionDetection(Detector):
    """Any of torchvision's detection models that find boxes, with a head for the classes of the data set."""

    image_channels: ClassVar[int | None] = 3

    name: Literal["torchvision_detection"]
    architecture: DetectionArchitecture = Field(
        description="Name in torchvision.models.detection.", examples=["fasterrcnn_resnet50_fpn"]
    )
    weights: Weights = None
    weights_backbone: str | None = Field(
        None,
        description="Pretrained weights of its backbone alone: torchvision's name for those of the classification "
        "model, or a file; random ones when absent.",
        examples=["IMAGENET1K_V1"],
    )
    normalize: Normalize = "imagenet"
    freeze: Freeze = ()

    @property
    def answers(self) -> frozenset[str] | None:
        """The terms of the loss of this architecture."""
        return next(terms for family, terms in LOSS_TERMS.items() if self.architecture.startswith(family))

    @property
    def least_share(self) -> int:
        """ssdlite normalises a single number for each image and channel: its last map of 320x320 pixels is one."""
        return 2 if self.architecture.startswith("ssdlite") else 1

    @model_validator(mode="after")
    def _fits_the_architecture(self) -> Self:
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        involved = (("architecture",),)
        if problem := weights_problem("model.weights", self.architecture, self.weights):
            yield Flaw(("weights",), problem, involved)
        if self.weights_backbone is None:
            return
        if self.weights is not None:
            message = "model.weights has those of the backbone, too. Remove it or model.weights_backbone."
            yield Flaw(("weights_backbone",), message, (("weights",),))
        elif (backbone := DETECTION_BACKBONES.get(self.architecture)) is None:
            message = f"model.weights_backbone doesn't fit {self.architecture}, whose backbone is a net of its own."
            yield Flaw(("weights_backbone",), f"{message} Remove it.", involved)
        elif problem := weights_problem("model.weights_backbone", backbone, self.weights_backbone):
            yield Flaw(("weights_backbone",), problem, involved)


_ONE_STAGE = frozenset({"classification", "box"})
LOSS_TERMS = {
    "fasterrcnn": _ONE_STAGE | {"objectness", "proposal_box"},
    "fcos": _ONE_STAGE | {"centerness"},
    "retinanet": _ONE_STAGE,
    "ssd": _ONE_STAGE,
}
"""By the beginnings of the names of torchvision's architectures."""
