"""The optimizers a job may name."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainyard.spec.section import Flaw, Section, refuse

LearningRate = Annotated[
    float, Field(gt=0, description="Base learning rate; the schedule's factor multiplies it.", examples=[1e-3])
]
WeightDecay = Annotated[float, Field(ge=0, description="Weight decay.")]
Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[
    tuple[Beta, Beta], Field(strict=False, description="Decay of the running means of the gradient and of its square.")
]


class Adam(Section):
    """Adam (Kingma and Ba 2015); its weight decay is added to the gradient."""

    name: Literal["adam"]
    lr: LearningRate
    weight_decay: WeightDecay = 0.0
    betas: Betas = (0.9, 0.999)


class AdamW(Section):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"]
    lr: LearningRate
    weight_decay: WeightDecay = 0.01
    betas: Betas = (0.9, 0.999)


class Sgd(Section):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    lr: LearningRate
    weight_decay: WeightDecay = 0.0
    momentum: float = Field(0.9, ge=0, lt=1, description="Share of the last step that is kept; 0 switches it off.")
    nesterov: bool = Field(False, description="Nesterov's momentum.")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and not self.momentum:
            message = "optimizer.nesterov needs optimizer.momentum > 0, got momentum=0."
            refuse([Flaw(("nesterov",), message, involved=(("momentum",),))])
        return self


Optimizer = Annotated[Adam | AdamW | Sgd, Field(discriminator="name")]
