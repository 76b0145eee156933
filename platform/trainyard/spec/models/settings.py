"""What the settings of models have in common."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from trainyard.spec.pretrained import WITHOUT_MAPS, Architecture, is_file, weights_problem
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
    def least_side(self) -> int:
        """Pixels that an image must have each way, as far as the settings tell."""
        return 1

    @property
    def least_share(self) -> int:
        """Images that each worker must have in a step."""
        return 1

    @property
    def single_side(self) -> int:
        """Images of no more pixels each way come down to a single position, over which a batch norm has nothing to
        normalise; 0: none do."""
        return 0

    @property
    def extracts(self) -> bool:
        """Whether trials see what is extracted from the images once for all of them, and not the images."""
        return self.fitted

    @property
    def classifies(self) -> bool:
        """Whether it answers as its tasks want, and isn't a block by itself, which can be looked at but not trained."""
        return True

    @property
    def answers(self) -> frozenset[str] | None:
        """The terms of the loss that it answers with, as it is set; None: whichever of its task the mix names."""
        return self.loss_terms

    def files(self) -> Iterator[tuple[SpecPath, str]]:
        """The files of weights that it names, and by which of its settings."""
        for name in type(self).model_fields:  # what an own model makes of its settings is its own business
            value = getattr(self, name)
            if name in ("weights", "weights_backbone") and isinstance(value, str) and is_file(value):
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


Width = Annotated[int, Field(ge=1, le=4096)]
Widths = Annotated[tuple[Width, ...], Field(strict=False, min_length=1, max_length=8)]
Dropout = Annotated[float, Field(ge=0, lt=1)]

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

Freeze = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    Field(
        strict=False,
        description="Modules or parameters that aren't trained, by their paths; * stands for any characters.",
    ),
]

Levels = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(strict=False, min_length=2, max_length=8)]
Norm = Annotated[
    Literal["batch", "group", "none"],
    Field(description="batch normalises over a worker's share of the batch, group within each image."),
]


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
