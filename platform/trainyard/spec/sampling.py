"""How often the rows of the training split are drawn in an epoch."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from trainyard.spec.section import Section


class Shuffled(Section):
    """Every row once, in an order of its own in each epoch."""

    name: Literal["shuffled"]


class ClassBalanced(Section):
    """As many draws for each class, an image of several classes counting as one of its rarest."""

    name: Literal["class_balanced"]


class Weighted(Section):
    """Rows drawn in proportion to the factor of their class, an image of several classes having the largest."""

    name: Literal["weighted"]
    weights: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(
        min_length=1, description="Factor by class name; 1 for a class that isn't named.", examples=[{"rare": 5.0}]
    )


def _long_form(value: Any) -> Any:
    # `weighted` says too little by itself.
    return {"name": value} if isinstance(value, str) and value != "weighted" else value


SamplingName = Literal["shuffled", "class_balanced"]
AnySampling = Annotated[Shuffled | ClassBalanced | Weighted, Field(discriminator="name")]
Sampling = Annotated[AnySampling, BeforeValidator(_long_form, json_schema_input_type=AnySampling | SamplingName)]
