"""Models that tell the class of an image, trained step by step."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from trainyard.spec.models.settings import (
    ArchitectureName,
    Backbone,
    Dropout,
    Freeze,
    ModelSettings,
    Normalize,
    Weights,
    Width,
    Widths,
)
from trainyard.spec.pretrained import WITH_DROPOUT, weights_problem
from trainyard.spec.section import Flaw, refuse
from trainyard.spec.tasks import TaskName


class Cnn(ModelSettings):
    """Convolution, ReLU, max pooling by 2, once for each entry of channels; then dropout and a dense layer."""

    model_config = ConfigDict(extra="forbid")

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"classification"})

    name: Literal["cnn"]
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)] = Field(
        (32, 64), description="Output channels of each convolution."
    )
    kernel: int = Field(3, ge=1, description="Side of the kernels, in pixels.")
    padding: Literal["valid", "same"] = Field("valid", description="valid shrinks the image, same keeps its size.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Probability of dropping a feature before the dense layer.")


class MnistNet(ModelSettings):
    """A small convolutional net to study regularisation with: convolution, ReLU, batch norm, pooling, dropout."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"classification"})

    name: Literal["mnist_net"]
    channels: Widths = Field((64, 64), description="Output channels of each convolution.")
    kernel: int = Field(3, ge=1, description="Side of the kernels, in pixels.")
    batch_norm: bool = Field(False, description="Batch norm after each activation, before the pooling, and at the end.")
    input_dropout: Dropout = Field(0.0, description="Probability of dropping a pixel of the image.")
    dropout: Dropout = Field(0.0, description="Probability of dropping an activation of each pooled layer.")


class ResidualNet(ModelSettings):
    """The nets of He et al. 2016 for small images, of 6n + 2 layers, with or without their shortcuts."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"classification"})

    name: Literal["residual_net"]
    depth: int = Field(20, ge=8, le=1202, description="Layers with weights: 6n + 2, of n blocks in each of 3 stages.")
    shortcuts: bool = Field(True, description="What goes into a block is added to what comes out of it.")
    widths: Annotated[tuple[Width, Width, Width], Field(strict=False)] = Field(
        (16, 32, 64), description="Channels of each stage."
    )

    @model_validator(mode="after")
    def _has_whole_blocks(self) -> Self:
        if self.depth % 6 != 2:
            lower = self.depth - (self.depth - 2) % 6
            message = f"model.depth must be 6n + 2, such as {lower} or {lower + 6}, got {self.depth}."
            refuse([Flaw(("depth",), message)])
        return self


class Block(ModelSettings):
    """A block whose arithmetic is known, and which a head makes a classifier of."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"classification"})

    head: Literal["linear", "none"] = Field(
        "linear", description="linear: global average pooling and a dense layer; none: the feature maps as they are."
    )

    @property
    def classifies(self) -> bool:
        return self.head == "linear"


class TwoConvolutions(Block):
    """Two valid 3x3 convolutions to 16 and 32 channels."""

    name: Literal["two_convolutions"]


class ThreeBranches(Block):
    """Three branches that see 1, 3 and 5 pixels each way, joined."""

    name: Literal["three_branches"]


class LocallyConnected(Block):
    """The same as two_convolutions with weights of its own at every position."""

    name: Literal["locally_connected"]


class Torchvision(ModelSettings):
    """Any of torchvision's classification models, with a head for the classes of the data set."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"classification"})
    image_channels: ClassVar[int | None] = 3

    name: Literal["torchvision"]
    architecture: ArchitectureName
    weights: Weights = None
    normalize: Normalize = "imagenet"
    freeze: Freeze = Field((), examples=[["layer1", "layer2"]])
    dropout: Dropout | None = Field(
        None, description="Probability of the dropout that the classifier has; the architecture's own when absent."
    )

    @model_validator(mode="after")
    def _fits_the_architecture(self) -> Self:
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        involved = (("architecture",),)
        if problem := weights_problem("model.weights", self.architecture, self.weights):
            yield Flaw(("weights",), problem, involved)
        if self.dropout is not None and not self.architecture.startswith(WITH_DROPOUT):
            message = f"model.dropout doesn't fit {self.architecture}, whose classifier has no dropout. Remove it."
            yield Flaw(("dropout",), message, involved)


class Transfer(ModelSettings):
    """A small classifier that is trained on the feature maps of a pretrained net, which isn't."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"classification"})
    image_channels: ClassVar[int | None] = 3

    name: Literal["transfer"]
    backbone: Backbone = Field(
        description="What makes the feature maps.", examples=[{"architecture": "resnet50", "weights": "IMAGENET1K_V1"}]
    )
    channels: Widths = Field((64,), description="Output channels of each convolution on the feature maps.")
    dropout: Dropout = Field(0.5, description="Probability of dropping a feature before the dense layer.")
