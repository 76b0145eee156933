"""Models that segment what a prompt points at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from trainyard.spec.hints import listing
from trainyard.spec.models.settings import ModelSettings
from trainyard.spec.pretrained import SUFFIXES
from trainyard.spec.scalars import show
from trainyard.spec.section import Flaw, Section, refuse
from trainyard.spec.section import Path as SpecPath
from trainyard.spec.tasks import TaskName

SamArchitecture = Literal["sam-vit-base", "sam-vit-large", "sam-vit-huge", "tiny"]

PATCH = 16
"""Side of the squares of pixels that the published image encoders begin with."""


class SharedEmbeddings(Section):
    """Made once, before the first trial, and read by all trials of a sweep; kept on the disk for the next one."""

    name: Literal["shared"]
    copies: int = Field(
        1, ge=0, le=64, description="Augmented copies of each training image beside itself, if the job augments."
    )


class EachStep(Section):
    """Made anew in each step, of images that are augmented anew in each epoch."""

    name: Literal["each_step"]


def _long_form(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


AnyEmbeddings = Annotated[SharedEmbeddings | EachStep, Field(discriminator="name")]
EmbeddingsName = Literal["shared", "each_step"]
Embeddings = Annotated[
    AnyEmbeddings, BeforeValidator(_long_form, json_schema_input_type=AnyEmbeddings | EmbeddingsName)
]


class TinyEncoder(Section):
    """The sizes of the architecture `tiny`."""

    side: int = Field(128, ge=16, le=1024, description="Side of the square that images are fitted into, in pixels.")
    patch: int = Field(8, ge=2, le=64, description="Side of the squares of pixels that the encoder begins with.")
    width: int = Field(64, ge=8, le=1024, description="Channels of all layers, a multiple of 8.")
    depth: int = Field(2, ge=1, le=48, description="Layers of the image encoder.")

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        if self.side % self.patch:
            got = f"side={self.side}, patch={self.patch}"
            yield Flaw(("side",), f"model.encoder.side must be divisible by its patch, got {got}.", (("patch",),))
        if self.width % 8:
            yield Flaw(("width",), f"model.encoder.width must be divisible by 8, got {self.width}.")


class Sam(ModelSettings):
    """SAM, the Segment Anything Model (Kirillov et al. 2023), of which the mask decoder is trained."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tasks: ClassVar[frozenset[TaskName]] = frozenset({"promptable_segmentation"})
    image_channels: ClassVar[int | None] = 3

    name: Literal["sam"]
    architecture: SamArchitecture = Field(description="Of the published models, or tiny.", examples=["sam-vit-base"])
    weights: str | None = Field(
        None,
        min_length=1,
        description="A repository of Hugging Face's hub, a folder or a file; random ones when absent.",
        examples=["facebook/sam-vit-base"],
    )
    encoder: TinyEncoder | None = Field(None, description="The sizes of tiny.")
    embeddings: Embeddings = Field(
        SharedEmbeddings(name="shared"), description="When the image encoder, which isn't trained, sees an image."
    )

    @property
    def extracts(self) -> bool:
        return isinstance(self.embeddings, SharedEmbeddings)

    @property
    def sizes(self) -> TinyEncoder:
        """Of the architecture tiny."""
        return self.encoder or TinyEncoder()

    @property
    def embedding_bytes(self) -> int:
        """Of the embedding of an image: C x h x w numbers of 2 bytes."""
        if self.architecture == "tiny":
            return 2 * self.sizes.width * (self.sizes.side // self.sizes.patch) ** 2
        return 2 * 256 * (1024 // PATCH) ** 2

    @property
    def settings(self) -> dict[str, Any]:
        values = super().settings
        return values | ({"encoder": self.sizes.model_dump()} if self.architecture == "tiny" else {})

    def files(self) -> Iterator[tuple[SpecPath, str]]:
        if self.weights is not None and self.weights.endswith(SUFFIXES):
            yield ("weights",), self.weights

    def located(self, folder: Path) -> Self:
        """The same, with a file or a folder of weights as an absolute path; what is neither is a repository."""
        if self.weights is None or not (self.weights.endswith(SUFFIXES) or (folder / self.weights).is_dir()):
            return self
        return self.model_copy(update={"weights": str(folder / self.weights)})

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        if self.encoder is not None and self.architecture != "tiny":
            message = f"model.encoder is of the architecture tiny, and {self.architecture} has sizes of its own."
            yield Flaw(("encoder",), f"{message} Remove it.", (("architecture",),))
        if self.weights is not None and "://" in self.weights:
            message = f"model.weights must be on a disk or the name of a repository, got {show(self.weights)}."
            yield Flaw(("weights",), f"{message} Download it first.")
        elif self.weights is not None and "/" not in self.weights and not self.weights.endswith(SUFFIXES):
            rule = "model.weights must be a repository such as facebook/sam-vit-base, a folder such as ./sam, or a file"
            yield Flaw(("weights",), f"{rule} that ends in {listing(SUFFIXES)}, got {show(self.weights)}.")
