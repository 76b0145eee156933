"""The data, the length and manner of training, the resources and the objective of a job."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from trainyard.spec.gradients import Gradients
from trainyard.spec.sampling import Sampling, Shuffled
from trainyard.spec.scalars import show
from trainyard.spec.section import Flaw, Section, refuse
from trainyard.spec.tasks import Mode

Pixels = Annotated[int, Field(ge=1, le=16384)]


def _rule_or_size(value: Any) -> str:
    return "rule" if isinstance(value, str) else "size"


ImageSize = Annotated[
    Annotated[Literal["auto"], Tag("rule")]
    | Annotated[Annotated[tuple[Pixels, Pixels], Field(strict=False)], Tag("size")],
    Discriminator(_rule_or_size),
]

SCHEMES = ("s3", "gs", "gcs", "file")
"""What may stand before `://` in the address of a data set."""


class DataSettings(Section):
    """Which data set, and which of its splits."""

    path: str = Field(
        min_length=1, description="Folder of the data set, or its s3:// or gs:// address.", examples=["data/digits"]
    )
    image_size: ImageSize | None = Field(
        None,
        description="Height and width to which images are resized, in pixels; auto: one that suits what is stored; as "
        "stored when absent.",
        examples=[[180, 240]],
    )
    resize: Literal["stretch", "pad", "crop"] = Field(
        "stretch",
        description="How an image gets to another shape: stretched, letterboxed in black, or cut at its longer sides.",
    )
    channels: Literal[1, 3] | None = Field(None, description="1: grey, 3: RGB; as stored when absent.")
    train_split: str = Field("train", min_length=1, description="The split to train on.")
    evaluate_split: str = Field("val", min_length=1, description="The split to evaluate on after each epoch.")
    loading: Literal["auto", "cached", "streamed"] = Field(
        "auto", description="Splits decoded once into memory, or read and decoded in every epoch; auto: what fits."
    )

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> "DataSettings":
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        scheme, slashes, rest = self.path.partition("://")
        if slashes and scheme not in SCHEMES:
            message = f"data.path must be a folder, or begin with s3:// or gs://, got {show(self.path)}."
            yield Flaw(("path",), message)
        elif slashes and set("@:") & set(rest.partition("/")[0]):
            # A secret key may hold a slash: then only a colon is left here. The message repeats nothing.
            message = (
                "data.path must not have credentials: a job is recorded with each of its trials. Leave them out, and "
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what gs:// takes, where the job runs."
            )
            yield Flaw(("path",), message)
        if self.resize != "stretch" and self.image_size is None:
            message = f"data.resize={self.resize} needs data.image_size: state the height and width to resize to."
            yield Flaw(("resize",), message, involved=(("image_size",),))


class EarlyStopping(Section):
    """Stop when a metric has not improved for so many epochs."""

    metric: str = Field(description="The metric to watch.", examples=["val/loss"])
    patience: int = Field(ge=1, description="Epochs without an improvement after which training stops.", examples=[10])
    min_delta: float = Field(0.0, ge=0, description="Smallest change that counts as an improvement.")


class Target(Section):
    """A value of a metric that is to be reached, in as few steps as may be."""

    metric: str = Field(description="The metric to watch.", examples=["val/accuracy"])
    value: float = Field(description="The value that is reached by it or by a better one.", examples=[0.95])


class Training(Section):
    """How long and how to train."""

    epochs: int = Field(ge=1, description="Passes over the training split, or steps_per_epoch each.", examples=[10])
    steps_per_epoch: int | None = Field(
        None, ge=1, description="Steps of an epoch, over some of the rows at random; a whole pass when absent."
    )
    batch_size: int = Field(ge=1, description="Samples in a step, over all workers together.", examples=[64])
    clip_grad_norm: float | None = Field(None, gt=0, description="Largest norm of the gradient; no limit when absent.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random in the trial.")
    early_stopping: EarlyStopping | None = None
    target: Target | None = None
    last_batch: Literal["drop", "pad"] = Field(
        "drop",
        description="Rows that fill no batch: they sit out the epoch, or rows from its beginning fill their batch up.",
    )
    sampling: Sampling = Field(Shuffled(name="shuffled"), description="How often each row is drawn in an epoch.")
    gradients: Gradients = Gradients()
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Of the forward pass.")
    channels_last: bool = Field(False, description="Keep images channels-last in memory: faster convolutions on a GPU.")
    checkpoint_seconds: float = Field(30.0, ge=0, description="Age, in seconds, at which a checkpoint is renewed.")


Workers = Annotated[int, Field(ge=1)]


def _number_or_range(value: Any) -> str:
    return "range" if isinstance(value, list | tuple) else "number"


class Resources(Section):
    """What one trial takes."""

    workers: Annotated[
        Annotated[Workers, Tag("number")]
        | Annotated[Annotated[tuple[Workers, Workers], Field(strict=False)], Tag("range")],
        Discriminator(_number_or_range),
    ] = Field(
        1,
        description="Workers of a trial, which train data-parallel as a crew; [1, 4]: as many from 1 to 4 as there is "
        "room for, which may change while it trains.",
        examples=[1, [1, 4]],
    )
    cpus_per_worker: int = Field(1, ge=1, description="CPUs of each worker.")
    gpus_per_worker: float = Field(0.0, ge=0, description="GPUs of each worker; a fraction shares one among trials.")
    placement: Literal["pack", "spread", "one_node"] = Field(
        "pack",
        description="Where a crew's workers are: on few nodes, on many, or always on one.",
    )

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> "Resources":
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        if self.least_workers > self.most_workers:
            message = f"resources.workers must be [least, most] with least <= most, got {show(self.workers)}."
            yield Flaw(("workers",), message)

    @property
    def least_workers(self) -> int:
        """With so many a trial goes on."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most_workers(self) -> int:
        """More than so many it never has."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]

    @property
    def elastic(self) -> bool:
        """Whether the number of workers may change while a trial trains."""
        return self.least_workers < self.most_workers

    @property
    def crew(self) -> bool:
        """Whether a trial's workers are processes of their own, even if there is but one at times."""
        return self.most_workers > 1


class Objective(Section):
    """What to improve."""

    metric: str = Field(description="A metric that the task reports.", examples=["val/accuracy"])
    mode: Mode = Field(description="Whether more or less of it is better.", examples=["max"])

    def improves(self, value: float, on: float | None) -> bool:
        """Whether a value is better than another, or than none yet. NaN and infinity never are; equals aren't."""
        if not math.isfinite(value):
            return False
        return on is None or (value > on if self.mode == "max" else value < on)


def _one_or_several(value: Any) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


Objectives = Annotated[
    Annotated[Objective, Tag("one")]
    | Annotated[tuple[Objective, ...], Field(strict=False, min_length=1), Tag("several")],
    Discriminator(_one_or_several),
]
