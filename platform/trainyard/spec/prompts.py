"""The prompts of a job for promptable segmentation: boxes that are made from the masks of a data set."""

from typing import Literal

from pydantic import Field

from trainyard.spec.section import Section

Objects = Literal["mask", "component"]
"""What of a mask is one object: all of its foreground, or each connected part of a class."""

MOST_OBJECTS = 254
"""In an image: their numbers share the values of a mask with background and void."""


class Prompts(Section):
    """Which objects of an image the model is asked for, by a box around each."""

    per: Objects = Field(
        "mask", description="mask: all foreground of an image is one object; component: each connected part of a class."
    )
    most: int = Field(
        8, ge=1, le=MOST_OBJECTS, description="Objects of an image at most, the largest first, with per: component."
    )
    jitter: float = Field(
        0.0, ge=0, le=16384, description="Largest shift of each edge of a box, in pixels, in training only."
    )

    @property
    def asked(self) -> int:
        """Boxes that an image has, those of objects that aren't there among them."""
        return 1 if self.per == "mask" else self.most
