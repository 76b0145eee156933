"""How a loss weighs the classes, of which a training split has more or less."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from trainyard.spec.section import Section


class Unweighted(Section):
    """Each image, or pixel, counts the same."""

    name: Literal["none"]


class InverseFrequency(Section):
    """Each class counts the same over the training split."""

    name: Literal["inverse_frequency"]


class EffectiveNumber(Section):
    """By the inverse of (1 - beta^n) / (1 - beta), the effective number of n samples (Cui et al. 2019)."""

    name: Literal["effective_number"]
    beta: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Above 1 / (1 - beta) samples, more of them hardly count; 0 weighs all classes the same.",
    )


class MedianFrequency(Section):
    """By the inverse of a class's share of the pixels of those images that have it (Eigen and Fergus 2015)."""

    name: Literal["median_frequency"]


class AutomaticWeights(Section):
    """The effective number, with 1 / (1 - beta) the size of an average class of the training split."""

    name: Literal["auto"]


def _long_form(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


ClassWeightsName = Literal["none", "inverse_frequency", "effective_number", "median_frequency", "auto"]
AnyClassWeights = Annotated[
    Unweighted | InverseFrequency | EffectiveNumber | MedianFrequency | AutomaticWeights, Field(discriminator="name")
]
ClassWeights = Annotated[
    AnyClassWeights, BeforeValidator(_long_form, json_schema_input_type=AnyClassWeights | ClassWeightsName)
]
