"""What is known of a data set without reading its images."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

FORMAT_VERSION = 2

Annotation = Literal["label", "mask", "boxes"]
"""What goes with each image: one class, a class for each pixel, or boxes with a class each."""

VOID = 255
"""The value of a mask's pixel that belongs to no class and counts nowhere."""

Count = Annotated[int, Field(ge=0)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""A plain name: no folder, so that a manifest from elsewhere can't point outside its data set."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageFacts(_Facts):
    """What all images share.

    channels: 1 (grey) or 3 (RGB). encoding: `file` for the bytes of an image file (JPEG, PNG, ...), `raw` for pixels,
    uint8 (height, width, channels). smallest, largest: (height, width) in pixels, each side by itself over all images.
    """

    channels: Literal[1, 3]
    encoding: Literal["file", "raw"]
    smallest: tuple[PositiveInt, PositiveInt]
    largest: tuple[PositiveInt, PositiveInt]

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) if all images have the same, else None."""
        return self.smallest if self.smallest == self.largest else None


class FileFacts(_Facts):
    """A Parquet file of a split and its rows."""

    name: FileName
    rows: PositiveInt


class BoxFacts(_Facts):
    """most: boxes of the image that has the most. widths, heights: in pixels, and ratios (height / width), each at the
    quantiles 0.05, 0.25, 0.5, 0.75 and 0.95 of all boxes."""

    most: Count
    widths: tuple[float, float, float, float, float]
    heights: tuple[float, float, float, float, float]
    ratios: tuple[float, float, float, float, float]


class SplitFacts(_Facts):
    """One split: its Parquet files in the order of the rows, what is in it, the digest of its content.

    class_images: images in which each class occurs. class_totals: how much there is of each class: images (label),
    pixels (mask) or boxes (boxes). void_pixels: pixels of masks that belong to no class. boxes: where there are any.
    pixel_mean, pixel_std: of each channel, pixels being in [0, 1].
    fingerprint: SHA-256 over the digests of the rows in their order.
    """

    rows: Count
    files: tuple[FileFacts, ...]
    class_images: tuple[Count, ...]
    class_totals: tuple[Count, ...]
    void_pixels: Count = 0
    boxes: BoxFacts | None = None
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    fingerprint: str


class MadeSplit(_Facts):
    """A split that the source did not have: a fraction of another's rows, drawn with a seed.

    stratified: whether the classes keep their shares in it.
    """

    taken_from: str
    fraction: float
    stratified: bool
    seed: int


class Manifest(_Facts):
    """The facts of a data set, written as `manifest.json` beside its files when all of them are there.

    source: the format that it was imported from. problems: cases in its `report.json`.
    fingerprint: SHA-256 of the content (classes, splits, images and annotations in the order of the rows), whatever
    the files look like: importing the same source again gives the same fingerprint.
    """

    version: int = FORMAT_VERSION
    source: str
    annotation: Annotation
    classes: tuple[str, ...]
    image: ImageFacts
    splits: dict[str, SplitFacts]
    made_splits: dict[str, MadeSplit] = {}
    problems: Count = 0
    fingerprint: str

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for name, split in self.splits.items():
            for counts in (split.class_images, split.class_totals):
                if len(counts) != len(self.classes):
                    raise ValueError(f"split {name} counts {len(counts)} classes, not {len(self.classes)}")
            if self.annotation == "label" and sum(split.class_totals) != split.rows:
                raise ValueError(
                    f"the class totals of split {name} add up to {sum(split.class_totals)}, not {split.rows}"
                )
            if sum(file.rows for file in split.files) != split.rows:
                raise ValueError(f"the files of split {name} do not add up to its {split.rows} rows")
        return self
