"""What is known of a data set without reading its images."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

FORMAT_VERSION = 1

Count = Annotated[int, Field(ge=0)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""A plain name: no folder, so that a manifest from elsewhere can't point outside its data set."""


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageFacts(_Facts):
    """What all images share. height and width, in pixels, are None where images differ in size."""

    channels: PositiveInt
    height: PositiveInt | None
    width: PositiveInt | None


class SplitFacts(_Facts):
    """One split: its Parquet files in the order of the rows, how many rows of each class, the digest of its content."""

    rows: Count
    files: tuple[FileName, ...]
    class_counts: tuple[Count, ...]
    fingerprint: str


class Manifest(_Facts):
    """The facts of a data set, written as `manifest.json` beside its files.

    fingerprint: SHA-256 of the content (classes, splits, pixels and labels in the order of the rows), whatever the
    files
    look like: importing the same source again gives the same fingerprint.
    """

    version: int = FORMAT_VERSION
    source: str
    classes: tuple[str, ...]
    image: ImageFacts
    splits: dict[str, SplitFacts]
    fingerprint: str

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for name, split in self.splits.items():
            if len(split.class_counts) != len(self.classes):
                raise ValueError(f"split {name} counts {len(split.class_counts)} classes, not {len(self.classes)}")
            if sum(split.class_counts) != split.rows:
                raise ValueError(
                    f"the class counts of split {name} add up to {sum(split.class_counts)}, not {split.rows}"
                )
        return self
