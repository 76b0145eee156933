"""Models that are fitted at once to the features of a frozen net."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from trainyard.spec.models.settings import Backbone, ModelSettings
from trainyard.spec.tasks import TaskName


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
