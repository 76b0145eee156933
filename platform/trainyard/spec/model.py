"""The model of a job: a known architecture with its settings, or the user's own function."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from trainyard.spec.pretrained import WITH_DROPOUT, WITHOUT_MAPS, Architecture, is_file, weights_problem
from trainyard.spec.section import Flaw, Section, plain, refuse
from trainyard.spec.section import Path as SpecPath
from trainyard.spec.tasks import TaskName

OWN_MODEL = "module:function"

GIVEN = ("image", "outputs")
"""What every model's function is called with beside its settings."""


class ModelSettings(Section):
    """The user's own model: `module:function`, imported from the job's folder, with any settings it takes."""

    model_config = ConfigDict(extra="allow")

    tasks: ClassVar[frozenset[TaskName]] = frozenset(get_args(TaskName))
    """The tasks that it is made for."""

    loss_terms: ClassVar[frozenset[str] | None] = None
    """The terms of the loss that it answers with; None: whichever of its task the mix names."""

    fitted: ClassVar[bool] = False
    """Whether it is fitted at once, on features, and not trained step by step: its job has no loss and no optimizer."""

    image_channels: ClassVar[int | None] = None
    """The channels that an image must have; None: any."""

    name: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        description="module:function, found from the folder of the job.",
        examples=["my_models.nets:build"],
    )

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the name, defaults included, as plain values (lists, not tuples)."""
        return {name: value for name, value in plain(self).items() if name != "name"}

    @property
    def classifies(self) -> bool:
        """Whether it answers as its tasks want, and isn't a block by itself, which can be looked at but not trained."""
        return True

    def files(self) -> Iterator[tuple[SpecPath, str]]:
        """The files of weights that it names, and by which of its settings."""
        for name in type(self).model_fields:  # what an own model makes of its settings is its own business
            value = getattr(self, name)
            if name == "weights" and isinstance(value, str) and is_file(value):
                yield (name,), value
            elif isinstance(value, Backbone) and value.weights is not None and is_file(value.weights):
                yield (name, "weights"), value.weights

    def located(self, folder: Path) -> Self:
        """The same, with files of weights as absolute paths: relative ones are in the folder."""
        changes: dict[str, Any] = {}
        for (name, *below), file in self.files():
            value = getattr(self, str(name))
            path = str(folder / file)
            changes[str(name)] = value.model_copy(update={"weights": path}) if below else path
        return self.model_copy(update=changes)

    @model_validator(mode="after")
    def _leaves_out_what_is_given(self) -> "ModelSettings":
        message = "model.{0} can't be a setting: the function is called with an {0} of its own. Rename it."
        taken = [name for name in GIVEN if name in (self.model_extra or {})]
        refuse(Flaw((name,), message.format(name)) for name in taken)
        return self


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


Width = Annotated[int, Field(ge=1, le=4096)]
Widths = Annotated[tuple[Width, ...], Field(strict=False, min_length=1, max_length=8)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


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


ArchitectureName = Annotated[Architecture, Field(description="Name in torchvision.models.", examples=["resnet50"])]
Weights = Annotated[
    str | None,
    Field(
        description="Pretrained weights by torchvision's name for them, or a file; random ones when absent.",
        examples=["IMAGENET1K_V1"],
    ),
]
Normalize = Annotated[
    Literal["imagenet", "none"],
    Field(description="imagenet: less the mean, over the standard deviation that torchvision's weights want."),
]


class Torchvision(ModelSettings):
    """Any of torchvision's classification models, with a head for the classes of the data set."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"classification"})
    image_channels: ClassVar[int | None] = 3

    name: Literal["torchvision"]
    architecture: ArchitectureName
    weights: Weights = None
    normalize: Normalize = "imagenet"
    freeze: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = Field(
        (),
        description="Modules or parameters that aren't trained, by their paths; * stands for any characters.",
        examples=[["layer1", "layer2"]],
    )
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


class Backbone(Section):
    """The layers of one of torchvision's classification models up to one of them, which aren't trained."""

    model_config = ConfigDict(defer_build=True)

    place: ClassVar[str] = "model.backbone"
    """Its path in a job, for messages."""

    architecture: ArchitectureName
    weights: Weights = None
    until: str | None = Field(
        None,
        min_length=1,
        description="The last node, as torchvision's feature extraction names it; the last feature map when absent.",
        examples=["layer3"],
    )
    normalize: Normalize = "imagenet"

    @model_validator(mode="after")
    def _has_feature_maps(self) -> Self:
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        if self.architecture.startswith(WITHOUT_MAPS):
            message = f"{self.place}.architecture must have feature maps, and {self.architecture} has tokens instead."
            yield Flaw(("architecture",), f"{message} Take a convolutional one, such as resnet50.")
        if problem := weights_problem(f"{self.place}.weights", self.architecture, self.weights):
            yield Flaw(("weights",), problem, (("architecture",),))


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


Levels = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(strict=False, min_length=2, max_length=8)]
Norm = Annotated[
    Literal["batch", "group", "none"],
    Field(description="batch normalises over a worker's share of the batch, group within each image."),
]


class Unet(ModelSettings):
    """U-Net: an encoder that halves the image between its levels, and a decoder that joins each level again."""

    model_config = ConfigDict(extra="forbid")

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"semantic_segmentation"})

    name: Literal["unet"]
    channels: Levels = Field((16, 32, 64), description="Channels of each level, the finest first.")
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of dropping a channel of the coarsest level.")


class CenterNet(ModelSettings):
    """A one-stage detector that finds the centres of objects, and the size of the box around each."""

    model_config = ConfigDict(extra="forbid")

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"detection"})
    loss_terms: ClassVar[frozenset[str] | None] = frozenset({"heatmap", "size", "offset"})

    name: Literal["centernet"]
    channels: Levels = Field(
        (16, 32, 64, 128),
        description="Channels of each level, each half as fine as the one before.",
    )
    norm: Norm = "batch"
    head_channels: int = Field(32, ge=1, le=4096, description="Channels of the layer before each answer.")


class Features(Backbone):
    """A frozen net and how its feature maps become the numbers of a row."""

    place: ClassVar[str] = "model.features"

    pool: Literal["average", "flatten"] = Field(
        "average", description="average: the mean of each feature map; flatten: every number of it."
    )


def _rule_or_number(value: Any) -> str:
    return "rule" if isinstance(value, str) else "number"


Gamma = Annotated[
    Annotated[Literal["scale", "auto"], Tag("rule")] | Annotated[float, Field(gt=0), Tag("number")],
    Discriminator(_rule_or_number),
]


class Svm(ModelSettings):
    """A support vector machine on the features of a frozen net, which are extracted once for all trials."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"classification"})
    fitted: ClassVar[bool] = True
    image_channels: ClassVar[int | None] = 3

    name: Literal["svm"]
    features: Features = Field(
        description="What makes the features.", examples=[{"architecture": "vgg16", "weights": "IMAGENET1K_V1"}]
    )
    C: float = Field(1.0, gt=0, description="Price of a row on the wrong side of its margin; less is more regular.")
    kernel: Literal["linear", "rbf", "poly", "sigmoid"] = Field("rbf", description="How alike two rows are.")
    gamma: Gamma = Field(
        "scale", description="Of the kernels but linear; scale: 1 / (features x their variance), auto: 1 / features."
    )
    degree: int = Field(3, ge=1, le=20, description="Of the kernel poly.")
    class_weight: Literal["none", "balanced"] = Field(
        "none", description="balanced: C of a class times the inverse of its frequency in the training split."
    )
    max_iter: int = Field(
        1_000_000, ge=1, lt=2**31, description="Most iterations for each pair of classes; a fit ends there."
    )
    max_rows: int | None = Field(
        None, ge=2, description="Most rows to fit to, drawn from each class in proportion; all when absent."
    )


MODELS: dict[str, type[ModelSettings]] = {
    "cnn": Cnn,
    "mnist_net": MnistNet,
    "residual_net": ResidualNet,
    "two_convolutions": TwoConvolutions,
    "three_branches": ThreeBranches,
    "locally_connected": LocallyConnected,
    "torchvision": Torchvision,
    "transfer": Transfer,
    "unet": Unet,
    "centernet": CenterNet,
    "svm": Svm,
}
"""The known architectures and their settings."""


def models_for(task: str) -> list[str]:
    """The known architectures that fit a task."""
    return sorted(name for name, model in MODELS.items() if task in model.tasks)


def _variant(value: Any) -> str | None:
    if isinstance(value, ModelSettings):
        value = {"name": value.name}
    name = value.get("name") if isinstance(value, dict) else None
    if name is None:
        return None
    return OWN_MODEL if isinstance(name, str) and ":" in name else str(name)


Model = Annotated[
    Annotated[Cnn, Tag("cnn")]
    | Annotated[MnistNet, Tag("mnist_net")]
    | Annotated[ResidualNet, Tag("residual_net")]
    | Annotated[TwoConvolutions, Tag("two_convolutions")]
    | Annotated[ThreeBranches, Tag("three_branches")]
    | Annotated[LocallyConnected, Tag("locally_connected")]
    | Annotated[Torchvision, Tag("torchvision")]
    | Annotated[Transfer, Tag("transfer")]
    | Annotated[Unet, Tag("unet")]
    | Annotated[CenterNet, Tag("centernet")]
    | Annotated[Svm, Tag("svm")]
    | Annotated[ModelSettings, Tag(OWN_MODEL)],
    Discriminator(_variant),
]
