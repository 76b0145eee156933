"""The model of a job: a known architecture with its settings, or the user's own function."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from trainyard.spec.section import Flaw, Section, plain, refuse
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

    name: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        description="module:function, found from the folder of the job.",
        examples=["my_models.nets:build"],
    )

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the name, defaults included, as plain values (lists, not tuples)."""
        return {name: value for name, value in plain(self).items() if name != "name"}

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


MODELS: dict[str, type[ModelSettings]] = {"cnn": Cnn, "unet": Unet, "centernet": CenterNet}
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
    | Annotated[Unet, Tag("unet")]
    | Annotated[CenterNet, Tag("centernet")]
    | Annotated[ModelSettings, Tag(OWN_MODEL)],
    Discriminator(_variant),
]
