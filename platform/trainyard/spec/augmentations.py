"""The augmentations of a job: random changes to training images, drawn anew for each sample."""

from typing import Annotated

from pydantic import Field, model_validator

from trainyard.spec.section import Flaw, Section, refuse

Probability = Annotated[float, Field(ge=0, le=1, description="Probability of it, drawn for each sample.")]


class Flip(Section):
    """A mirrored image."""

    p: Probability = 0.5


class Rotate(Section):
    """A rotation about the centre, the angle uniform in [-degrees, degrees]."""

    degrees: float = Field(ge=0, le=180, description="Largest angle, either way.", examples=[10])
    p: Probability = 1.0


class Translate(Section):
    """A shift, uniform in [-fraction, fraction] of the height and of the width."""

    fraction: float = Field(ge=0, le=1, description="Largest shift as a fraction of the image's side.", examples=[0.1])
    p: Probability = 1.0


class Scale(Section):
    """A zoom about the centre, its factor uniform in [low, high]; above 1 enlarges."""

    low: float = Field(gt=0, le=10, description="Smallest factor.", examples=[0.9])
    high: float = Field(gt=0, le=10, description="Largest factor.", examples=[1.1])
    p: Probability = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "Scale":
        if self.low > self.high:
            message = f"augmentations.scale.low must be <= its high, got low={self.low}, high={self.high}."
            refuse([Flaw(("low",), message, involved=(("high",),))])
        return self


class Shear(Section):
    """A horizontal shear, the angle uniform in [-degrees, degrees]."""

    degrees: float = Field(ge=0, lt=90, description="Largest angle, either way.", examples=[10])
    p: Probability = 1.0


class Brightness(Section):
    """Every pixel times a factor uniform in [1 - amount, 1 + amount]."""

    amount: float = Field(ge=0, le=1, description="Largest change of the factor.", examples=[0.2])
    p: Probability = 1.0


class Contrast(Section):
    """Every pixel's distance from the image's mean times a factor uniform in [1 - amount, 1 + amount]."""

    amount: float = Field(ge=0, le=1, description="Largest change of the factor.", examples=[0.2])
    p: Probability = 1.0


class Noise(Section):
    """Gaussian noise added to every pixel, pixels being in [0, 1]."""

    std: float = Field(ge=0, le=1, description="Standard deviation of the noise.", examples=[0.05])
    p: Probability = 1.0


class Augmentations(Section):
    """What happens to training images. An augmentation that isn't stated doesn't happen."""

    horizontal_flip: Flip | None = None
    vertical_flip: Flip | None = None
    rotate: Rotate | None = None
    translate: Translate | None = None
    scale: Scale | None = None
    shear: Shear | None = None
    brightness: Brightness | None = None
    contrast: Contrast | None = None
    noise: Noise | None = None
