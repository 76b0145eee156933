"""Training images as a job augments them, drawn on a sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainyard.cli.describing import saved
from trainyard.data.columns import Columns
from trainyard.spec.job import Job
from trainyard.spec.section import Section

if TYPE_CHECKING:
    from trainyard.data.sheet import Picture


def draw_preview(job: Job, *, rows: int, draws: int, file: Path | None) -> str:
    """Draw `rows` training images of a job, each as it is and in `draws` of its augmentations; where it was drawn.

    The images are decoded and augmented as in training, in the size that the job states. DataError and UsageError as
    in training and for a sheet that can't be written.
    """
    from trainyard.data.dataset import Dataset
    from trainyard.data.sheet import draw_sheet

    dataset = Dataset.open(job.data.path)
    plain = _decoded(dataset, job, rows)
    classes = dataset.manifest.classes
    variants = [_pictures(plain, classes), *(_pictures(changed, classes) for changed in _augmented(plain, job, draws))]
    pictures = [variant[row] for row in range(len(plain["image"])) for variant in variants]
    title = f"{job.name}  ·  {job.data.train_split} of {dataset.path}  ·  {_named(job)}"
    across = len(variants) * (2 if "mask" in plain else 1)
    # As many originals with their variants in a row as are wide enough to look at.
    picture = draw_sheet(pictures, classes=classes, title=title, across=across * max(1, 8 // across))
    return saved(picture, file or Path(f"{job.name}-preview.png"))


def _decoded(dataset: Any, job: Job, count: int) -> Columns:
    """Some rows of the training split, as columns.py describes them."""
    from trainyard.data.decode import Decoder
    from trainyard.data.examples import example_rows
    from trainyard.data.shapes import DecodeSettings

    decoder = Decoder(dataset, job.data.train_split, DecodeSettings.of(job.data, dataset.manifest))
    return decoder.take(np.array(example_rows(dataset, job.data.train_split, count), int))


def _augmented(columns: Columns, job: Job, draws: int) -> list[Columns]:
    """The rows as one batch, in so many of the steps of a first epoch."""
    import torch

    from trainyard.data.augment import Augmenter, Share

    batch = {name: torch.from_numpy(column) for name, column in columns.items()}
    batch["image"] = batch["image"] / 255
    height, width = columns["image"].shape[2:]
    share = Share(steps=draws, batch_size=len(columns["image"]))
    augmenter = Augmenter(job.augmentations, seed=job.training.seed)
    drawn = augmenter.draw(1, share, height=height, width=width, device=torch.device("cpu"))
    changed: list[Columns] = []
    for step in range(draws):
        result = {name: value.numpy() for name, value in drawn.apply(batch, step).items()}
        changed.append({**result, "image": np.rint(result["image"] * 255).astype(np.uint8)})
    return changed


def _pictures(columns: Columns, classes: Sequence[str]) -> list["Picture"]:
    from trainyard.data.sheet import Picture

    return [
        Picture(
            image=image,
            caption=_caption(columns, row, classes),
            mask=columns["mask"][row] if "mask" in columns else None,
            boxes=columns["boxes"][row] if "boxes" in columns else None,
            box_labels=columns["box_labels"][row] if "boxes" in columns else None,
        )
        for row, image in enumerate(columns["image"])
    ]


def _caption(columns: Columns, row: int, classes: Sequence[str]) -> str:
    """The class, or how two were mixed: `cat 70 % + dog`."""
    if "label" not in columns:
        return ""
    name = classes[columns["label"][row]]
    if "label_other" not in columns or columns["label_share"][row] == 1:
        return name
    return f"{name} {columns['label_share'][row]:.0%} + {classes[columns['label_other'][row]]}"


def _named(job: Job) -> str:
    stated = [name for name, setting in job.augmentations if isinstance(setting, Section)]
    return ", ".join(stated) or "no augmentation"
