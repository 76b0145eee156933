"""How a classifier decides: the class that matters, and from which probability on an image is taken to be of it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from trainyard.spec.section import Section


class Argmax(Section):
    """The class with the largest probability: of two classes, the threshold is 0.5."""

    name: Literal["argmax"]


class Fixed(Section):
    """A threshold that is known."""

    name: Literal["fixed"]
    value: float = Field(ge=0, le=1, description="Probability from which on the class is positive.", examples=[0.3])


class BestF1(Section):
    """The threshold with the largest F1 of the positive class; of several the one with the larger recall."""

    name: Literal["f1"]


class BestPrecision(Section):
    """The threshold with the largest precision among those that find enough; of several the larger recall."""

    name: Literal["precision"]
    least_recall: float = Field(gt=0, le=1, description="Recall that must be reached.", examples=[0.95])


class BestRecall(Section):
    """The threshold with the largest recall among those that are right often enough; of several the larger precision.

    Where none is, nothing is taken to be positive.
    """

    name: Literal["recall"]
    least_precision: float = Field(gt=0, le=1, description="Precision that must be reached.", examples=[0.9])


def _long_form(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"name": "fixed", "value": value}
    # The others say too little by themselves.
    return {"name": value} if value in ("argmax", "f1") else value


ChosenThreshold = BestF1 | BestPrecision | BestRecall
"""Rules by which a threshold is chosen anew in each evaluation, on the rows that are evaluated."""

ShortThreshold = Literal["argmax", "f1"] | Annotated[float, Field(ge=0, le=1)]
AnyThreshold = Annotated[Argmax | Fixed | BestF1 | BestPrecision | BestRecall, Field(discriminator="name")]
Threshold = Annotated[AnyThreshold, BeforeValidator(_long_form, json_schema_input_type=AnyThreshold | ShortThreshold)]


class Decision(Section):
    """Which class matters, and when an image is taken to be of it."""

    positive: str = Field(min_length=1, description="The class that matters, by its name.", examples=["defective"])
    threshold: Threshold = Field(
        Argmax(name="argmax"),
        description="From which probability of the positive class on an image is of it: a number, argmax, or chosen.",
    )
