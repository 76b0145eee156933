"""The learning-rate schedules a job may name."""

from typing import Annotated, Literal

from pydantic import Field

from trainyard.spec.section import Section

WarmupEpochs = Annotated[
    float,
    Field(
        ge=0,
        description="Epochs in which the rate rises linearly to its base: of n steps, step k has k / n of it.",
    ),
]


class Constant(Section):
    """The base learning rate throughout."""

    name: Literal["constant"]
    warmup_epochs: WarmupEpochs = 0.0


class OneCycle(Section):
    """One cycle (Smith and Topin 2018) with cosine slopes: from lr / div_factor up to lr, then down.

    The last step's rate is lr / (div_factor * final_div_factor), as in torch's OneCycleLR.
    """

    name: Literal["one_cycle"]
    pct_start: float = Field(0.3, gt=0, lt=1, description="Fraction of the training at which lr is reached.")
    div_factor: float = Field(25.0, ge=1, description="lr divided by this is the first rate.")
    final_div_factor: float = Field(1e4, ge=1, description="The first rate divided by this is the last rate.")


class Cosine(Section):
    """Half a cosine from the base learning rate down to final_fraction of it (Loshchilov and Hutter 2017)."""

    name: Literal["cosine"]
    warmup_epochs: WarmupEpochs = 0.0
    final_fraction: float = Field(0.0, ge=0, le=1, description="The last rate as a fraction of lr.")


class Step(Section):
    """The base learning rate times gamma after every so many epochs."""

    name: Literal["step"]
    every_epochs: int = Field(10, ge=1, description="Epochs between two drops.")
    gamma: float = Field(0.1, gt=0, le=1, description="Factor of each drop.")
    warmup_epochs: WarmupEpochs = 0.0


Schedule = Annotated[Constant | OneCycle | Cosine | Step, Field(discriminator="name")]
