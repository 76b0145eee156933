"""What is watched of the gradients while a trial trains."""

from typing import Literal

from pydantic import Field

from trainyard.spec.section import Section


class Gradients(Section):
    """What is watched of gradients, weights and updates, and from where on it is no longer healthy."""

    monitor: bool = Field(True, description="Measure each layer, and name what is wrong with it.")
    every_steps: int = Field(
        10, ge=1, description="Steps from one measurement to the next; the first steps and an epoch's last always are."
    )
    patience: int = Field(
        100,
        ge=1,
        description="Steps for which something must be wrong before it is named; NaN and infinity never wait.",
    )
    on_explosion: Literal["stop", "report"] = Field(
        "stop", description="What an explosion that lasts does: end the trial as diverged, or be named like the rest."
    )
    explosion: float = Field(
        100.0, gt=1, description="Times the first step's loss, gradient or weights that are an explosion."
    )
    vanishing: float = Field(
        1e-4, gt=0, lt=1, description="Gradients near the input that vanish, as a fraction of those near the output."
    )
    stalled: float = Field(
        1e-7, gt=0, lt=1, description="Updates too small to train anything, as a fraction of the weights, by step."
    )
