"""Models that tell the class of each pixel."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from trainyard.spec.models.settings import (
    Dropout,
    Freeze,
    Levels,
    ModelSettings,
    Norm,
    Normalize,
    Weights,
    Width,
)
from trainyard.spec.pretrained import SegmentationArchitecture, is_file, weights_problem
from trainyard.spec.scalars import show
from trainyard.spec.section import Flaw, refuse
from trainyard.spec.tasks import TaskName

Multiplier = Annotated[float, Field(ge=0.1, le=4)]
Repeats = Annotated[int, Field(ge=1, le=16)]

LEAST_SIDE = 32
"""Of images of the nets that halve them five times: the coarsest maps are a 32nd of an image."""


class Segmenter(ModelSettings):
    """What all of them have in common."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"semantic_segmentation"})

    @property
    def least_side(self) -> int:
        return LEAST_SIDE


class Unet(Segmenter):
    """U-Net: an encoder that halves the image between its levels, and a decoder that joins each level again."""

    name: Literal["unet"]
    channels: Levels = Field((16, 32, 64), description="Channels of each level, the finest first.")
    norm: Norm = "batch"
    dropout: Dropout = Field(0.0, description="Probability of dropping a channel of the coarsest level.")

    @property
    def least_side(self) -> int:
        return int(2 ** (len(self.channels) - 1))

    @property
    def single_side(self) -> int:
        return 2 * self.least_side - 1 if self.norm == "batch" else 0


class FastScnn(Segmenter):
    """Fast-SCNN: a net for large images in few operations, most of them at an eighth of their size or less."""

    name: Literal["fast_scnn"]
    width: Multiplier = Field(1.0, description="Times the paper's channels, each rounded to a multiple of 4.")
    blocks: Annotated[tuple[Repeats, Repeats, Repeats], Field(strict=False)] = Field(
        (3, 3, 3), description="Inverted residuals in each of the three stages of the deep branch."
    )
    dropout: Dropout = Field(0.0, description="Probability of dropping a channel before the last convolution.")

    @property
    def single_side(self) -> int:
        return LEAST_SIDE


class DeconvolutionNet(Segmenter):
    """Convolutions and pooling down, unpooling or transposed convolutions up, and nothing joined across."""

    name: Literal["deconvolution_net"]
    channels: Levels = Field((32, 64, 128, 256), description="Channels of each level, the finest first.")
    convolutions: Annotated[tuple[Repeats, ...], Field(strict=False, min_length=2, max_length=8)] | None = Field(
        None, description="Convolutions on each level, down and up again; two on each when absent."
    )
    middle: Width | None = Field(
        None, description="Channels of two layers between both halves that see the whole image; none when absent."
    )
    unpooling: Literal["indices", "none"] = Field(
        "indices", description="indices: enlarged to where the maxima were; none: by a transposed convolution."
    )
    norm: Norm = "batch"
    dropout: Dropout = Field(0.0, description="Probability of dropping a channel of the coarsest level.")

    @model_validator(mode="after")
    def _counts_every_level(self) -> Self:
        if self.convolutions is not None and len(self.convolutions) != len(self.channels):
            got = f"{len(self.convolutions)} for {len(self.channels)}"
            message = f"model.convolutions must have one number for each of model.channels, got {got}."
            refuse([Flaw(("convolutions",), message, (("channels",),))])
        return self

    @property
    def least_side(self) -> int:
        return int(2 ** len(self.channels))

    @property
    def least_share(self) -> int:
        """The two layers in the middle have a single number for each image and channel."""
        return 2 if self.middle is not None and self.norm == "batch" else 1


class MobilenetUnet(Segmenter):
    """A U-Net on torchvision's MobileNetV2: its levels are joined again by a decoder of transposed convolutions."""

    image_channels: ClassVar[int | None] = 3

    name: Literal["mobilenet_unet"]
    width: Multiplier = Field(1.0, description="MobileNetV2's width multiplier: times the paper's channels.")
    decoder: Annotated[tuple[Width, Width, Width, Width], Field(strict=False)] = Field(
        (512, 256, 128, 64), description="Channels after each enlargement, the coarsest first."
    )
    weights: Weights = None
    normalize: Normalize = "imagenet"
    freeze: Freeze = Field((), examples=[["encoder"]])
    dropout: Dropout = Field(0.0, description="Probability of dropping a channel of the coarsest level.")

    @model_validator(mode="after")
    def _has_its_weights(self) -> Self:
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        if problem := weights_problem("model.weights", "mobilenet_v2", self.weights):
            yield Flaw(("weights",), problem)
        elif self.weights is not None and not is_file(self.weights) and self.width != 1:
            rule = f"model.weights={self.weights} are of MobileNetV2 as it is, of width 1"
            message = f"{rule}, got model.width={show(self.width)}. Leave out weights, or set width: 1.0."
            yield Flaw(("weights",), message, (("width",),))

    @property
    def single_side(self) -> int:
        return LEAST_SIDE


class TorchvisionSegmentation(Segmenter):
    """Any of torchvision's segmentation models, with a head for the classes of the data set."""

    image_channels: ClassVar[int | None] = 3

    name: Literal["torchvision_segmentation"]
    architecture: SegmentationArchitecture = Field(
        description="Name in torchvision.models.segmentation.", examples=["lraspp_mobilenet_v3_large"]
    )
    weights: Weights = None
    normalize: Normalize = "imagenet"
    freeze: Freeze = Field((), examples=[["backbone"]])

    @model_validator(mode="after")
    def _has_its_weights(self) -> Self:
        if problem := weights_problem("model.weights", self.architecture, self.weights):
            refuse([Flaw(("weights",), problem, (("architecture",),))])
        return self

    @property
    def least_share(self) -> int:
        """deeplabv3 normalises a single number for each image and channel: over one image that is nothing."""
        return 2 if self.architecture.startswith("deeplabv3") else 1
