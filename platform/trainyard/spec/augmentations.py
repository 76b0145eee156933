"""The augmentations of a job: random changes to training images, drawn anew for each sample."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from trainyard.spec.scalars import show
from trainyard.spec.section import Flaw, Section, refuse

Probability = Annotated[float, Field(ge=0, le=1, description="Probability of it, drawn for each sample.")]
Amount = Annotated[
    float, Field(ge=0, le=1, description="Largest change of the factor, which is 1 for no change.", examples=[0.2])
]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Augmentation(Section):
    """One of them. What is uniform in a range `x_low` to `x_high` needs the first to be <= the second."""

    # Built with the job, and by itself only if it is ever made by itself: importing the specs takes a twelfth less.
    model_config = ConfigDict(defer_build=True)

    @model_validator(mode="after")
    def _keeps_ranges_in_order(self) -> Self:
        refuse(self._upside_down())
        return self

    def _upside_down(self) -> Iterator[Flaw]:
        for low in type(self).model_fields:
            high = low.removesuffix("low") + "high"
            if low.endswith("low") and getattr(self, low) > getattr(self, high):
                got = f"{low}={show(getattr(self, low))}, {high}={show(getattr(self, high))}"
                message = f"augmentations.{self._name()}.{low} must be <= its {high}, got {got}."
                yield Flaw((low,), message, involved=((high,),))

    def _name(self) -> str:
        return next(name for name, kind in KINDS.items() if kind is type(self))


class HorizontalFlip(Augmentation):
    """Left and right exchanged."""

    p: Probability = 0.5


class VerticalFlip(Augmentation):
    """Top and bottom exchanged."""

    p: Probability = 0.5


class RandomResizedCrop(Augmentation):
    """A part of the image enlarged to the whole, its area uniform, its ratio uniform in the logarithm.

    Szegedy et al. 2015, section 6; torchvision's RandomResizedCrop.
    """

    area_low: float = Field(0.08, ge=0.001, le=1, description="Smallest area, as a fraction of the image's.")
    area_high: float = Field(1.0, ge=0.001, le=1, description="Largest area.")
    ratio_low: float = Field(0.75, ge=0.01, le=100, description="Smallest width / height of the part, in pixels.")
    ratio_high: float = Field(1.3333, ge=0.01, le=100, description="Largest width / height.")
    p: Probability = 1.0


class PaddingCrop(Augmentation):
    """Padded by so many pixels on each side and cropped back at a random place: a shift by whole pixels."""

    pixels: int = Field(ge=0, le=4096, description="Padding on each side, in pixels.", examples=[4])
    p: Probability = 1.0


class Rotate(Augmentation):
    """A rotation about the centre, the angle uniform in [-degrees, degrees]."""

    degrees: float = Field(ge=0, le=180, description="Largest angle, either way.", examples=[10])
    p: Probability = 1.0


class Translate(Augmentation):
    """A shift, uniform in [-fraction, fraction] of the height and of the width."""

    fraction: float = Field(ge=0, le=1, description="Largest shift as a fraction of the image's side.", examples=[0.1])
    p: Probability = 1.0


class Scale(Augmentation):
    """A zoom about the centre, its factor uniform in [low, high]; above 1 enlarges."""

    low: float = Field(ge=0.01, le=10, description="Smallest factor.", examples=[0.9])
    high: float = Field(ge=0.01, le=10, description="Largest factor.", examples=[1.1])
    p: Probability = 1.0


class Shear(Augmentation):
    """A horizontal and a vertical shear about the centre, each angle uniform in its range."""

    degrees: float = Field(ge=0, le=80, description="Largest angle of the horizontal shear, either way.", examples=[10])
    vertical_degrees: float = Field(0.0, ge=0, le=80, description="Largest angle of the vertical shear.")
    p: Probability = 1.0


class TrivialAugment(Augmentation):
    """One of 14 operations at a random magnitude: TrivialAugment Wide (Müller and Hutter 2021)."""

    magnitude: int = Field(30, ge=0, le=30, description="Largest magnitude, each from 0 on being as likely.")
    p: Probability = 1.0


class RandAugment(Augmentation):
    """Some of 14 operations after each other, at one magnitude (Cubuk et al. 2020)."""

    operations: int = Field(2, ge=1, le=14, description="How many are drawn; the same may be drawn again.")
    magnitude: int = Field(9, ge=0, le=30, description="Of each operation; 0 changes nothing.")
    p: Probability = 1.0


class Brightness(Augmentation):
    """Every pixel times a factor uniform in [1 - amount, 1 + amount]."""

    amount: Amount
    p: Probability = 1.0


class Contrast(Augmentation):
    """Every pixel's distance from the image's mean grey times a factor uniform in [1 - amount, 1 + amount]."""

    amount: Amount
    p: Probability = 1.0


class Saturation(Augmentation):
    """Every pixel's distance from its own grey times a factor uniform in [1 - amount, 1 + amount]."""

    amount: Amount
    p: Probability = 1.0


class Hue(Augmentation):
    """The hue turned by a part of the colour circle, uniform in [-amount, amount]."""

    amount: float = Field(ge=0, le=0.5, description="Largest turn, 0.5 being half the circle.", examples=[0.05])
    p: Probability = 1.0


class Greyscale(Augmentation):
    """All channels replaced by the grey of the pixel."""

    p: Probability = 0.1


class Sharpness(Augmentation):
    """The difference from a smoothed image times a factor uniform in [1 - amount, 1 + amount]; below 1 softens."""

    amount: Amount
    p: Probability = 1.0


class Posterize(Augmentation):
    """Each channel cut down to the levels of so many bits."""

    bits: int = Field(ge=1, le=8, description="Bits of a channel.", examples=[4])
    p: Probability = 0.5


class Solarize(Augmentation):
    """Values from the threshold on inverted."""

    threshold: float = Field(ge=0, le=1, description="From where on, pixels being in [0, 1].", examples=[0.5])
    p: Probability = 0.5


class Autocontrast(Augmentation):
    """Each channel stretched to the whole range from 0 to 1."""

    p: Probability = 0.5


class Equalize(Augmentation):
    """Each channel's histogram made even, over 256 levels."""

    p: Probability = 0.5


class GaussianBlur(Augmentation):
    """Blurred by a Gaussian, its standard deviation uniform in a range."""

    sigma_low: float = Field(0.1, ge=0.01, le=20, description="Smallest standard deviation, in pixels.")
    sigma_high: float = Field(2.0, ge=0.01, le=20, description="Largest standard deviation, in pixels.")
    p: Probability = 0.5


class Noise(Augmentation):
    """Gaussian noise added to every pixel, pixels being in [0, 1]."""

    std: float = Field(ge=0, le=1, description="Standard deviation of the noise.", examples=[0.05])
    p: Probability = 1.0


class RandomErasing(Augmentation):
    """A rectangle filled, its area uniform, its ratio uniform in the logarithm (Zhong et al. 2020, algorithm 1)."""

    area_low: Fraction = Field(0.02, description="Smallest area, as a fraction of the image's.")
    area_high: Fraction = Field(0.33, description="Largest area.")
    ratio_low: float = Field(0.3, ge=0.01, le=100, description="Smallest width / height of the rectangle, in pixels.")
    ratio_high: float = Field(3.3, ge=0.01, le=100, description="Largest width / height.")
    p: Probability = 0.5


class Cutout(Augmentation):
    """Squares filled, their centres uniform over the image, whose edges cut them off (DeVries and Taylor 2017)."""

    holes: int = Field(1, ge=1, le=64, description="How many squares.")
    fraction: Fraction = Field(description="Side of a square as a fraction of the image's shorter.", examples=[0.5])
    p: Probability = 1.0


class Mixup(Augmentation):
    """Blended with its partner, the share drawn from Beta(alpha, alpha) (Zhang et al. 2018)."""

    alpha: float = Field(ge=0.01, le=100, description="Both parameters of the Beta distribution.", examples=[0.2])
    p: Probability = 1.0


class Cutmix(Augmentation):
    """A rectangle taken from its partner, its area 1 less a share from Beta(alpha, alpha) (Yun et al. 2019)."""

    alpha: float = Field(ge=0.01, le=100, description="Both parameters of the Beta distribution.", examples=[1.0])
    p: Probability = 1.0


class Augmentations(Section):
    """What happens to training images. An augmentation that isn't stated doesn't happen."""

    horizontal_flip: HorizontalFlip | None = None
    vertical_flip: VerticalFlip | None = None
    random_resized_crop: RandomResizedCrop | None = None
    padding_crop: PaddingCrop | None = None
    rotate: Rotate | None = None
    translate: Translate | None = None
    scale: Scale | None = None
    shear: Shear | None = None
    trivial_augment: TrivialAugment | None = None
    rand_augment: RandAugment | None = None
    brightness: Brightness | None = None
    contrast: Contrast | None = None
    saturation: Saturation | None = None
    hue: Hue | None = None
    greyscale: Greyscale | None = None
    posterize: Posterize | None = None
    solarize: Solarize | None = None
    autocontrast: Autocontrast | None = None
    equalize: Equalize | None = None
    sharpness: Sharpness | None = None
    gaussian_blur: GaussianBlur | None = None
    noise: Noise | None = None
    random_erasing: RandomErasing | None = None
    cutout: Cutout | None = None
    mixup: Mixup | None = None
    cutmix: Cutmix | None = None
    border: Literal["constant", "edge", "reflect"] = Field(
        "constant",
        description="What a moved image shows beyond its edges: the fill, its last pixels, or its mirror image.",
    )
    fill: Fraction = Field(0.0, description="Grey of what is filled: beyond the edges, and where pixels are erased.")
    min_visible: Fraction = Field(
        0.1, description="A moved box of which less than this share is left in the image is dropped."
    )

    def stated(self) -> dict[str, Augmentation]:
        """The augmentations that the job has, by name, those with p = 0 among them."""
        found = {name: getattr(self, name) for name in KINDS}
        return {name: augmentation for name, augmentation in found.items() if augmentation is not None}

    @model_validator(mode="after")
    def _mixes_once(self) -> Self:
        mixup, cutmix = self.mixup, self.cutmix
        if mixup and cutmix and mixup.p + cutmix.p > 1:
            rule = "augmentations.mixup.p + augmentations.cutmix.p must be <= 1, as a sample meets one of them"
            message = f"{rule}, got {mixup.p:g} + {cutmix.p:g}. Give each its share, such as p: 0.5."
            refuse([Flaw(("cutmix", "p"), message, involved=(("mixup", "p"),))])
        return self


KINDS: dict[str, type[Augmentation]] = {
    name: kind
    for name, field in Augmentations.model_fields.items()
    for kind in getattr(field.annotation, "__args__", ())
    if isinstance(kind, type) and issubclass(kind, Augmentation)
}
"""The augmentations by name."""

MIXING = ("mixup", "cutmix")
"""Those that make one sample of two, which are a pair in the global batch."""
